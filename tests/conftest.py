"""Fixtures: servers for the whole run, and a topic prefix and a database for each test that uses them."""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog
from cryptography.fernet import Fernet
from pydantic import SecretStr

from services.cli.setup import prepare
from shared.bus.connection import KafkaConnection
from shared.bus.producer import Topics
from shared.bus.topics import ensure_topics
from shared.runtime.settings import ServerSettings
from shared.store.mongo import Database, open_database
from tests.support.processes import Leadstream
from tests.support.servers import Servers, choose_kind, has_docker, start

patient = hypothesis.settings(deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("fixed", patient, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", patient, max_examples=1_000)
hypothesis.settings.load_profile("fixed")  # `--hypothesis-profile` overrides this

used: pytest.StashKey[str] = pytest.StashKey()
Start = Callable[..., Leadstream]


@dataclass(frozen=True)
class Stack:
    """The servers with the topic prefix and database of one test."""

    servers: Servers
    topic_prefix: str
    mongo_url: str
    env: dict[str, str]

    @property
    def kafka(self) -> KafkaConnection:
        return KafkaConnection(self.servers.kafka)

    @property
    def topics(self) -> Topics:
        return Topics(self.topic_prefix)


def pytest_configure() -> None:
    """Treat SIGTERM like an interrupt, so that the servers are stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the kind of servers from a test process that has ended."""
    kind = getattr(node, "workeroutput", {}).get("servers")
    if kind:
        node.config.stash[used] = kind


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    kind = config.stash.get(used, None)
    if kind:
        meaning = {"local": "Apache Kafka on Java and SecantusDB", "docker": "Apache Kafka and MongoDB in containers"}
        terminalreporter.write_line(f"servers: {kind}: {meaning.get(kind, 'mock broker and SecantusDB, embedded')}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()):
            item.add_marker("servers")
    in_containers = [item for item in items if item.get_closest_marker("docker")]
    if in_containers and not has_docker():
        for item in in_containers:
            item.add_marker(pytest.mark.skip("no Docker engine is running"))


@pytest.fixture(autouse=True)
def reset_logging() -> Iterator[None]:
    """Reset structlog: a composition root that ran in this process may have set a level that `capture_logs` obeys."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Servers]:
    kind = choose_kind()
    request.config.stash[used] = kind
    getattr(request.config, "workeroutput", {})["servers"] = kind
    with start(kind, tmp_path_factory.mktemp("servers")) as started:
        yield started


@pytest.fixture
def setup_settings(servers: Servers) -> ServerSettings:
    name = f"t{secrets.token_hex(4)}"
    return ServerSettings(
        kafka_bootstrap_servers=servers.kafka,
        topic_prefix=f"{name}.",
        topic_partitions=2,
        mongo_url=SecretStr(servers.mongo_url(name)),
    )


@pytest.fixture
async def database(setup_settings: ServerSettings) -> AsyncIterator[Database]:
    """Return a database as `leadstream setup` leaves it. A test that does not ask for `stack` has no topics."""
    async with open_database(setup_settings.mongo_url.get_secret_value()) as database:
        await prepare(database)
        yield database
        await database.client.drop_database(database.name)


@pytest.fixture
async def stack(servers: Servers, setup_settings: ServerSettings, database: Database) -> Stack:
    settings = setup_settings
    await ensure_topics(settings)
    env = {
        "LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "LEADSTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "LEADSTREAM_TOPIC_PARTITIONS": str(settings.topic_partitions),
        "LEADSTREAM_MONGO_URL": settings.mongo_url.get_secret_value(),
        "LEADSTREAM_APP_SECRETS": "app-secret",
        "LEADSTREAM_VERIFY_TOKEN": "verify-token",
        "LEADSTREAM_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "LEADSTREAM_RECEIVER_HOST": "127.0.0.1",
        "LEADSTREAM_FALLBACK": "fast",
        "LEADSTREAM_QUIET_SECONDS": "0",
        "LEADSTREAM_MAX_WAIT_SECONDS": "1",
        "LEADSTREAM_LEASE_SECONDS": "3",
    }
    return Stack(servers, settings.topic_prefix, settings.mongo_url.get_secret_value(), env)


@pytest.fixture
def leadstream(stack: Stack, tmp_path: Path) -> Iterator[Start]:
    """Start `leadstream ARGS` with the test's stack; kill what still runs at the end."""
    started: list[Leadstream] = []

    def begin(
        *arguments: str, stdin: str | None = None, env: Mapping[str, str] | None = None, **settings: str
    ) -> Leadstream:
        log = tmp_path / f"{len(started)}-{arguments[0]}.log"
        own = {"LEADSTREAM_SPOOL_DIR": str(tmp_path / "spool")}
        started.append(Leadstream(arguments, {**own, **stack.env, **(env or {}), **settings}, log, stdin))
        return started[-1]

    yield begin
    for process in started:
        if process.process.poll() is None:
            process.kill()


@pytest.fixture
def simulator(leadstream: Start) -> dict[str, Any]:
    """Run a simulator and return its description: `graph_url`, `app_secret`, `verify_token`, `accounts`."""
    line = leadstream("simulator", "--port", "0").wait_for("graph_url")
    description: dict[str, Any] = json.loads(line)
    return description
