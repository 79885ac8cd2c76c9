"""Common parts of the analyzer's measurements: topics and a database, events, the process and its progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from pydantic import SecretStr

from services.analyzer.app import CONSUMER_GROUP
from services.cli.setup import make_missing
from shared.bus.connection import KafkaConnection
from shared.bus.producer import AIOKafkaConsumer, TopicPartition, Topics, event_record, open_producer, publish
from shared.contract.encoded_events import EncodedEvent
from shared.runtime.settings import ServerSettings
from shared.store.mongo import Database, open_database
from tests.bench.ground import Rate
from tests.bench.processes import Handler, started
from tests.bench.wrk import BenchError
from tests.support.servers import Servers

PARTITIONS = 12
ANALYZER = ("-m", "services.cli.main", "analyzer")
PUBLISH_BATCH_SIZE = 5_000
POLL_SECONDS, STALL_SECONDS = 0.1, 60.0
"""How often progress is read, and after how long without progress a measurement fails."""

NEVER_DUE = {"quiet_seconds": "1000000", "max_wait_seconds": "1000000"}
"""Settings of an analyzer that only aggregates."""


@dataclass(frozen=True, slots=True)
class Site:
    """New topics and a new database called `name`."""

    servers: Servers
    folder: Path
    name: str

    @property
    def topics(self) -> Topics:
        return Topics(f"{self.name}.")

    @property
    def group(self) -> str:
        return f"{self.topics.prefix}{CONSUMER_GROUP}"

    @property
    def mongo_url(self) -> str:
        return self.servers.mongo_url(self.name)

    @property
    def settings(self) -> dict[str, str]:
        return {
            "LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": self.servers.kafka,
            "LEADSTREAM_TOPIC_PREFIX": self.topics.prefix,
            "LEADSTREAM_MONGO_URL": self.mongo_url,
            "LEADSTREAM_GRAPH_URL": "http://127.0.0.1:9",  # nothing leaves the machine
            "LEADSTREAM_LOG_LEVEL": "WARNING",
        }

    def database(self) -> AbstractAsyncContextManager[Database]:
        return open_database(self.mongo_url)

    async def publish(self, drafts: Iterable[EncodedEvent]) -> int:
        """Publish the events and return their number."""
        remaining, count = iter(drafts), 0
        async with open_producer(KafkaConnection(self.servers.kafka)) as producer:
            while chunk := list(islice(remaining, PUBLISH_BATCH_SIZE)):
                await publish(producer, [event_record(self.topics.message_events, draft) for draft in chunk])
                count += len(chunk)
        return count


def site(servers: Servers, folder: Path, name: str) -> Site:
    made = Site(servers, folder / name, name)
    made.folder.mkdir()
    asyncio.run(make_missing(ServerSettings(
        kafka_bootstrap_servers=servers.kafka, topic_prefix=made.topics.prefix, topic_partitions=PARTITIONS,
        mongo_url=SecretStr(made.mongo_url),
    )))  # fmt: skip
    return made


@contextmanager
def analyzer(of: Site, command: Sequence[str] = ANALYZER, **settings: str) -> Iterator[Handler]:
    """Start the process without waiting until it is ready. `settings` are named without their prefix."""
    named = {f"LEADSTREAM_{name.upper()}": value for name, value in settings.items()}
    with started(command, of.settings | named, of.folder) as process:
        yield process


@dataclass(frozen=True, slots=True)
class Reading:
    """The amount done at a monotonic time, and the processor seconds of the process until then."""

    at: float
    done: int
    cpu: float = 0.0


def rate_of(readings: Sequence[Reading]) -> Rate:
    """Return the rate from the first progress to the first reading with the final amount."""
    last = readings[-1]
    first = next((each for each in readings if each.done), last)
    end = next(each for each in readings if each.done >= last.done)
    done, seconds = end.done - first.done, end.at - first.at
    if done <= 0 or seconds <= 0:
        raise BenchError("it was done before two readings: use more events")
    return Rate(done / seconds, (end.cpu - first.cpu) * 1e6 / done)


@dataclass(frozen=True, slots=True)
class Watch:
    """Reads progress from Kafka, so that measuring costs the database nothing."""

    of: Site
    admin: AIOKafkaAdminClient
    consumer: AIOKafkaConsumer

    async def committed(self) -> int:
        """Return the number of committed events."""
        try:
            offsets = await self.admin.list_consumer_group_offsets(self.of.group)
        except GroupCoordinatorNotAvailableError:  # the broker has never had a group
            return 0
        return sum(max(0, each.offset) for each in offsets.values())

    async def published(self) -> int:
        """Return the number of versions on `contact-updated`."""
        partitions = [TopicPartition(self.of.topics.contact_updated, number) for number in range(PARTITIONS)]
        return sum((await self.consumer.end_offsets(partitions)).values())

    async def require_published(self, versions: int) -> None:
        """Raise BenchError if a version was published twice or a contact has a second version."""
        found = await self.published()
        if found != versions:
            raise BenchError(f"{found:,} versions were published of {versions:,} contacts")

    async def until(self, read: Callable[[], Awaitable[int]], total: int, process: Handler) -> list[Reading]:
        """Return readings until `total` is done. BenchError when the process ends or makes no progress for a minute."""
        readings: list[Reading] = []
        moved_at = time.perf_counter()
        while True:
            done = await read()
            now = time.perf_counter()
            if not readings or done != readings[-1].done:
                moved_at = now
            readings.append(Reading(now, done, process.cpu_seconds()))
            if done >= total:
                return readings
            if now - moved_at > STALL_SECONDS:
                raise BenchError(f"{done:,} of {total:,} were done, without progress for {STALL_SECONDS:.0f} s")
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def watching(of: Site) -> AsyncIterator[Watch]:
    admin = AIOKafkaAdminClient(bootstrap_servers=of.servers.kafka)
    consumer = AIOKafkaConsumer(bootstrap_servers=of.servers.kafka)
    await admin.start()
    await consumer.start()
    try:
        yield Watch(of, admin, consumer)
    finally:
        await consumer.stop()
        await admin.close()


async def is_empty(database: Database) -> bool:
    """Return whether no conversation is queued."""
    return await database.conversations.find_one({"due_at": {"$exists": True}}, {"_id": True}) is None


async def until_empty(database: Database) -> None:
    """Wait until no conversation is queued. BenchError when one is still due after a minute."""
    deadline = time.monotonic() + STALL_SECONDS
    while not await is_empty(database):
        if time.monotonic() > deadline:
            raise BenchError(f"a conversation is still due {STALL_SECONDS:.0f} s after all were published")
        await asyncio.sleep(0.5)
