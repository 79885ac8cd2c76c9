"""Kafka with TLS and SASL, and MongoDB with TLS, as `deploy/local/servers up --secure` starts them."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import shlex
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession
from aiokafka.errors import UnknownTopicOrPartitionError
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import PyMongoError

from deploy.local.certificates import Authority
from shared.bus.connection import kafka_connection
from shared.bus.consumer import open_consumer
from shared.bus.dead_letter_queue import DeadLetterQueue
from shared.bus.lag import open_lag_reader
from shared.bus.producer import Record, Topics, open_producer, publish
from shared.bus.reader import read_all
from shared.bus.topics import check_topics, ensure_topics
from shared.contract.events import load_event
from shared.contract.failures import UnreachableError
from shared.runtime.settings import KafkaSettings
from shared.store.mongo import open_database
from tests.support.processes import Leadstream
from tests.support.sending import Sender
from tests.support.servers import Servers, choose_kind, free_port, run_script
from tests.support.topics import publish_events
from tests.support.waiting import eventually
from tests.unit.shared.contract.test_contracts import EVENTS

PASSWORD = "local-secret"
Env = dict[str, str]


@dataclass(frozen=True)
class SecuredServers:
    """`env` are the settings that `deploy/local/servers env` prints, for SCRAM-SHA-512."""

    folder: Path
    env: Env

    @property
    def ca(self) -> str:
        return self.env["LEADSTREAM_KAFKA_SSL_CA_FILE"]

    @property
    def at_certificates(self) -> Env:
        """The settings of the listener that asks for client certificates, without one."""
        port = json.loads((self.folder / "ports.json").read_text())["kafka_certificates"]
        return {
            "LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
            "LEADSTREAM_KAFKA_SECURITY_PROTOCOL": "SSL",
            "LEADSTREAM_KAFKA_SSL_CA_FILE": self.ca,
        }

    @property
    def with_certificate(self) -> Env:
        files = Path(self.ca).parent
        return self.at_certificates | {
            "LEADSTREAM_KAFKA_SSL_CERTIFICATE_FILE": str(files / "client.crt"),
            "LEADSTREAM_KAFKA_SSL_KEY_FILE": str(files / "client.key"),
        }

    def with_token(self, command: str) -> Env:
        sasl = {"LEADSTREAM_KAFKA_SASL_MECHANISM": "OAUTHBEARER", "LEADSTREAM_KAFKA_SASL_TOKEN_COMMAND": command}
        user = {"LEADSTREAM_KAFKA_SASL_USERNAME", "LEADSTREAM_KAFKA_SASL_PASSWORD"}
        return {name: value for name, value in self.env.items() if name not in user} | sasl


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredServers]:
    if choose_kind() != "local":
        pytest.skip("only deploy/local/servers starts secured servers")
    folder = tmp_path_factory.mktemp("secured")
    at = ("--dir", str(folder))
    try:
        run_script("up", "--secure", *at)
        words = [word for line in run_script("env", *at).splitlines() for word in shlex.split(line)]
        yield SecuredServers(folder, dict(word.split("=", 1) for word in words if "=" in word))
    finally:
        run_script("down", *at)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Leadstream]]:
    """Start `leadstream ARGS` with these settings; kill what still runs at the end."""
    started: list[Leadstream] = []

    def begin(*arguments: str, env: Env) -> Leadstream:
        log = tmp_path / f"{len(started)}-{arguments[0]}.log"
        started.append(Leadstream(arguments, {"LEADSTREAM_SPOOL_DIR": str(tmp_path / "spool"), **env}, log))
        return started[-1]

    yield begin
    for process in started:
        if process.process.poll() is None:
            process.kill()


def settings_of(env: Env, **more: Any) -> KafkaSettings:
    values: dict[str, Any] = {name.removeprefix("LEADSTREAM_").lower(): value for name, value in env.items()}
    return KafkaSettings(**{name: values[name] for name in KafkaSettings.model_fields if name in values}, **more)


def token_command(subject: str = "leadstream") -> str:
    """Return a command that prints a token without a signature, which the local broker accepts for an hour."""
    claims = {"sub": subject, "iat": int(time.time()), "exp": int(time.time()) + 3600}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "none"}, claims)
    ]
    return f"printf %s.%s. {parts[0]} {parts[1]}"


WAYS: dict[str, Callable[[SecuredServers], Env]] = {
    "PLAIN": lambda servers: servers.env | {"LEADSTREAM_KAFKA_SASL_MECHANISM": "PLAIN"},
    "SCRAM-SHA-256": lambda servers: servers.env | {"LEADSTREAM_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"},
    "SCRAM-SHA-512": lambda servers: servers.env,
    "OAUTHBEARER": lambda servers: servers.with_token(token_command()),
    "client certificate": lambda servers: servers.with_certificate,
}


@pytest.mark.parametrize("way", WAYS)
async def test_every_kafka_client_connects(secured: SecuredServers, way: str) -> None:
    settings = settings_of(WAYS[way](secured), topic_prefix=f"t{secrets.token_hex(4)}.", topic_partitions=2)
    topics, kafka = Topics(settings.topic_prefix), kafka_connection(settings)
    assert len((await ensure_topics(settings)).made) == 3
    await publish_events(kafka, topics.message_events, [load_event(line) for line in EVENTS])
    assert sorted(record.value for record in await read_all(kafka, topics.message_events)) == sorted(EVENTS)
    assert await DeadLetterQueue(kafka, topics).parked() == {}
    async with open_consumer(kafka, topics.message_events, f"{topics.prefix}group") as consumer:
        read: list[bytes] = []
        async with asyncio.timeout(30):
            while len(read) < len(EVENTS):
                if polled := await consumer.getmany(timeout_ms=500):
                    read += [record.value for records in polled.values() for record in records]
                    await consumer.commit({at: records[-1].offset + 1 for at, records in polled.items()})
    async with open_lag_reader(kafka, topics.message_events, f"{topics.prefix}group") as reader:
        assert await reader.read() == (len(EVENTS), 0)


async def test_no_client_creates_a_topic_by_accident(secured: SecuredServers) -> None:
    """The secured broker creates a topic when a client allows it."""
    settings = settings_of(secured.env, topic_prefix=f"t{secrets.token_hex(4)}.")
    topics, kafka = Topics(settings.topic_prefix), kafka_connection(settings)
    async with open_producer(kafka) as producer:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await publish(producer, [Record(topics.message_events, b"key", b"value", [])])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1), open_consumer(kafka, topics.contact_updated, f"{topics.prefix}group"):
            pass
    async with open_lag_reader(kafka, topics.message_events, f"{topics.prefix}group") as reader:
        with pytest.raises(UnknownTopicOrPartitionError):
            await reader.read()
    assert len((await check_topics(settings)).missing) == 3


async def test_a_webhook_becomes_a_contact_on_secured_servers(
    secured: SecuredServers, run: Callable[..., Leadstream]
) -> None:
    name = f"t{secrets.token_hex(4)}"
    env = secured.env | {
        "LEADSTREAM_KAFKA_SASL_MECHANISM": "PLAIN",  # the one that sends the password, which a debug log would show
        "LEADSTREAM_TOPIC_PREFIX": f"{name}.",
        "LEADSTREAM_MONGO_URL": secured.env["LEADSTREAM_MONGO_URL"].replace("/leadstream?", f"/{name}?"),
        "LEADSTREAM_APP_SECRETS": "app-secret",
        "LEADSTREAM_VERIFY_TOKEN": "verify-token",
        "LEADSTREAM_RECEIVER_HOST": "127.0.0.1",
        "LEADSTREAM_RECEIVER_PORT": "0",
        "LEADSTREAM_CONSOLE_PORT": "0",
        "LEADSTREAM_QUIET_SECONDS": "0",
        "LEADSTREAM_FALLBACK": "fast",
        "LEADSTREAM_LOG_LEVEL": "DEBUG",
    }
    setup = run("setup", env=env)
    assert setup.wait() == 0, setup.output
    receiver, analyzer, console = (run(service, env=env) for service in ("receiver", "analyzer", "console"))
    port = json.loads(receiver.wait_for("receiver_listening"))["port"]
    console.wait_for("http://127.0.0.1")
    async with ClientSession() as session:
        assert await Sender(session, port, "How much is it?").send(1) == 200
    async with open_database(env["LEADSTREAM_MONGO_URL"]) as database:
        assert await eventually(lambda: database.contacts.find_one({}), bool)
        await database.client.drop_database(database.name)
    for process in (setup, receiver, analyzer, console):
        assert PASSWORD not in process.output


@pytest.fixture
def strangers(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "strangers")


@dataclass(frozen=True)
class Failure:
    """What is wrong: settings over those of the secured servers, or other settings, and what the message says."""

    message: str
    env: Callable[[SecuredServers, Authority], Env]


FAILURES = {
    "plain client": Failure(
        "it speaks TLS; set LEADSTREAM_KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL",
        lambda servers, _: {"LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": servers.env["LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS"]},
    ),
    "no SASL": Failure(
        "LEADSTREAM_KAFKA_SECURITY_PROTOCOL may have to be a SASL protocol",
        lambda servers, _: (
            servers.at_certificates
            | {"LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": servers.env["LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS"]}
        ),
    ),
    "SASL where there is none": Failure(
        "it does not use SASL; set LEADSTREAM_KAFKA_SECURITY_PROTOCOL to SSL",
        lambda servers, _: servers.env | {**servers.with_certificate, "LEADSTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
    ),
    "wrong password": Failure(
        "it refuses the user, password or token: Authentication failed",
        lambda servers, _: servers.env | {"LEADSTREAM_KAFKA_SASL_PASSWORD": "a-wrong-secret"},
    ),
    "refused token": Failure(
        "it refuses the token of LEADSTREAM_KAFKA_SASL_TOKEN_COMMAND",
        lambda servers, _: servers.with_token("printf a-wrong.secret."),
    ),
    "no token": Failure(
        "LEADSTREAM_KAFKA_SASL_TOKEN_COMMAND failed: it ended with status 1",
        lambda servers, _: servers.with_token("false"),
    ),
    "unknown CA": Failure(
        "its certificate is refused: unable to get local issuer certificate; LEADSTREAM_KAFKA_SSL_CA_FILE names",
        lambda servers, strangers: servers.env | {"LEADSTREAM_KAFKA_SSL_CA_FILE": strangers.certificate},
    ),
    "no client certificate": Failure(
        "it requires another client certificate", lambda servers, _: servers.at_certificates
    ),
    "wrong client certificate": Failure(
        "it requires another client certificate",
        lambda servers, strangers: (
            servers.at_certificates
            | dict(
                zip(
                    ("LEADSTREAM_KAFKA_SSL_CERTIFICATE_FILE", "LEADSTREAM_KAFKA_SSL_KEY_FILE"),
                    strangers.sign("client"),
                    strict=True,
                )
            )
        ),
    ),
}


@pytest.mark.parametrize("what", FAILURES)
def test_a_failure_is_one_line_with_the_reason(
    secured: SecuredServers, strangers: Authority, run: Callable[..., Leadstream], what: str
) -> None:
    failure = FAILURES[what]
    process = run("dlq", "list", env=failure.env(secured, strangers))
    assert process.wait() == 3
    (line,) = process.lines()
    assert line.startswith("leadstream: Kafka at 127.0.0.1:")
    assert failure.message in line
    assert "secret" not in line


def test_tls_where_there_is_none_is_one_line(
    servers: Servers, secured: SecuredServers, run: Callable[..., Leadstream]
) -> None:
    process = run("dlq", "list", env=secured.env | {"LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": servers.kafka})
    assert process.wait() == 3
    (line,) = process.lines()
    assert "it does not speak TLS; set LEADSTREAM_KAFKA_SECURITY_PROTOCOL to PLAINTEXT" in line


def test_settings_that_cannot_work_are_wrong_usage(secured: SecuredServers, run: Callable[..., Leadstream]) -> None:
    for command in (("dlq", "list"), ("receiver",)):
        env = secured.env | {"LEADSTREAM_KAFKA_SSL_CA_FILE": "/nothing.pem"}
        process = run(*command, env=env | {"LEADSTREAM_APP_SECRETS": "x", "LEADSTREAM_VERIFY_TOKEN": "x"})
        assert process.wait() == 2
        assert "LEADSTREAM_KAFKA_SSL_CA_FILE cannot be used" in " ".join(process.output.replace("│", " ").split())


@pytest.mark.parametrize("what", ["plain client", "unknown CA", "missing file"])
async def test_a_failure_of_mongodb_names_its_option(secured: SecuredServers, strangers: Authority, what: str) -> None:
    url, known = secured.env["LEADSTREAM_MONGO_URL"], quote(secured.ca, safe="")
    wrong, message = {
        "plain client": (url.partition("&tls=")[0], "may require its option `tls=true`"),
        "unknown CA": (url.replace(known, quote(strangers.certificate, safe="")), "`tlsCAFile` names the trusted CAs"),
        "missing file": (url.replace(known, "nothing.pem"), "a file that LEADSTREAM_MONGO_URL names cannot be used"),
    }[what]
    with pytest.raises(UnreachableError, match=message):
        async with open_database(wrong):
            pass


@pytest.fixture(scope="module")
async def mongo_with_login(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Yield the address of a MongoDB server whose only user is `app` with the password `pa:ss/word`."""
    port, folder = free_port(), tmp_path_factory.mktemp("login")

    @asynccontextmanager
    async def server(*options: str) -> AsyncIterator[str]:
        program = str(Path(sys.executable).with_name("secantusd-py"))
        process = await asyncio.create_subprocess_exec(
            program, "--port", str(port), "--storage-path", str(folder), "--log-level", "WARNING", *options
        )
        try:
            address = f"127.0.0.1:{port}"
            await eventually(lambda: answers(f"mongodb://{address}/?directConnection=true"), bool)
            yield address
        finally:
            process.terminate()
            await process.wait()

    async with server() as address, open_database(f"mongodb://{address}/x?directConnection=true") as database:
        await database.client.admin.command("createUser", "app", pwd="pa:ss/word", roles=["root"])
    async with server("--auth") as address:
        yield address


async def answers(url: str) -> bool:
    """Return whether a server answers, also to a client without a login."""
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(url, serverSelectionTimeoutMS=500)
    try:
        await client.admin.command("ping")
    except PyMongoError:
        return False
    finally:
        client.close()
    return True


async def test_a_login_of_the_url_is_used(mongo_with_login: str) -> None:
    url = f"mongodb://app:pa%3Ass%2Fword@{mongo_with_login}/x?directConnection=true&authSource=admin"
    async with open_database(url) as database:
        await database.kept.insert_one({"_id": "here"})
        assert await database.kept.find_one({}) == {"_id": "here"}


@pytest.mark.parametrize("login", ["app:a-wrong-secret@", "nobody:a-wrong-secret@", ""])
async def test_a_missing_or_wrong_login_is_refused_in_one_line(mongo_with_login: str, login: str) -> None:
    url = f"mongodb://{login}{mongo_with_login}/x?directConnection=true&authSource=admin"
    with pytest.raises(
        UnreachableError, match=r"^MongoDB refuses the user, password or options of LEADSTREAM_MONGO_URL$"
    ):
        async with open_database(url):
            pass
