"""The set-up of the backfill's measurements: a Graph API, an account, and runs in their own processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from pydantic import SecretStr

from services.cli.setup import make_missing
from shared.bus.producer import Topics
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.runs import RunState
from shared.runtime.crypto import TokenVault
from shared.runtime.settings import ServerSettings
from shared.store.accounts import AccountStore
from shared.store.mongo import open_database
from tests.bench.pages import PAGE_ID, Corpus
from tests.bench.processes import Handler, get, running
from tests.bench.wrk import BenchError
from tests.support.processes import with_settings
from tests.support.servers import ROOT, Servers, free_port

PARTITIONS = 12


@dataclass(frozen=True, slots=True)
class Crawled:
    """What a run came to: its seconds, those of its processor, what it counted, and its memory in MB, each second and
    at its highest.
    """

    seconds: float
    cpu: float
    counters: dict[str, int]
    resident: list[float]
    peak: float

    @property
    def calls(self) -> int:
        return self.counters["calls"]

    @property
    def events(self) -> int:
        """The messages, and the events before and after those of a conversation."""
        return self.counters["messages_published"] + 2 * self.counters["conversations_read"]


@dataclass(frozen=True, slots=True)
class Place:
    """One account of one Graph API, with its own topics and database."""

    servers: Servers
    graph: Handler
    name: str
    settings: dict[str, str]

    def crawl(self) -> Crawled:
        """Run a backfill. BenchError when it was not complete."""
        result = said("tests.bench.crawling", settings=self.settings)
        if result["state"] != RunState.COMPLETED:
            raise BenchError(f"the run ended as {result['state']}: {result['reason']}")
        return Crawled(result["seconds"], result["cpu"], result["counters"], result["resident"], result["peak"])

    def stats(self) -> dict[str, float]:
        found: dict[str, float] = json.loads(get(self.graph.port, "/stats"))
        return found

    @property
    def topic(self) -> str:
        return Topics(f"{self.name}.").message_events


@contextmanager
def graph_api(folder: Path, corpus: Corpus) -> Iterator[Handler]:
    port = free_port()
    command = ("-m", "tests.bench.pages", str(port), json.dumps(asdict(corpus)))
    folder.mkdir()
    with running(command, {}, folder, port) as handler:
        yield handler


def place(servers: Servers, graph: Handler, corpus: Corpus, name: str) -> Place:
    """A new account, of which nothing was read before."""
    key = Fernet.generate_key().decode()
    url = servers.mongo_url(name)
    settings = {
        "LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": servers.kafka,
        "LEADSTREAM_TOPIC_PREFIX": f"{name}.",
        "LEADSTREAM_TOPIC_PARTITIONS": str(PARTITIONS),
        "LEADSTREAM_MONGO_URL": url,
        "LEADSTREAM_ENCRYPTION_KEYS": key,
        "LEADSTREAM_GRAPH_URL": f"http://127.0.0.1:{graph.port}",
        "LEADSTREAM_APP_SECRETS": "bench-secret",
        "LEADSTREAM_LOG_LEVEL": "WARNING",
    }
    account = Account(
        platform=Platform(corpus.platform), account_id=corpus.account_id, page_id=PAGE_ID, name="Shop",
        encrypted_token=TokenVault([key]).encrypt("bench-token"),
    )  # fmt: skip
    asyncio.run(_make(ServerSettings(
        kafka_bootstrap_servers=servers.kafka, topic_prefix=f"{name}.", topic_partitions=PARTITIONS,
        mongo_url=SecretStr(url),
    ), account))  # fmt: skip
    return Place(servers, graph, name, settings)


async def _make(settings: ServerSettings, account: Account) -> None:
    await make_missing(settings)
    async with open_database(settings.mongo_url.get_secret_value()) as database:
        await AccountStore(database).put(account)


def said(module: str, *arguments: str, settings: dict[str, str]) -> dict[str, Any]:
    """Return the JSON that a module prints. BenchError with its last line when it failed."""
    env = {**with_settings(settings), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BenchError(f"{module} ended with {done.returncode}: {last}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
