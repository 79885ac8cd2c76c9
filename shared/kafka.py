"""Topics, producers and consumers. The only module that imports aiokafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NoError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.drafts import Draft, draft_headers, dump_draft
from shared.events import Header
from shared.failures import UnreachableError
from shared.settings import KafkaSettings

__all__ = [
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "CommitFailedError",
    "IllegalStateError",
    "KafkaError",
    "MessageSizeTooLargeError",
    "Record",
    "TopicPartition",
    "Topics",
    "draft_record",
    "ensure_topics",
    "open_consumer",
    "open_producer",
    "partition_of",
    "publish",
    "read_all",
    "require_topics",
]

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""A record can hold a whole webhook body (4 MiB) with its escapes, parked."""
MAX_LETTER_BYTES = 6 * MAX_RECORD_BYTES + 64 * 1024
"""A dead letter holds any record whole: JSON has six bytes for a control character."""
BATCH_BYTES = 256 * 1024
"""Records of one partition go out in batches of at most this size; a larger record goes alone."""
TOPIC_SECONDS = 10.0
"""What finding a topic gets, at a start."""
RETRY_SECONDS = 0.5
"""After a send that aiokafka itself has given up, which it does after 40 s."""
STOP_SECONDS = 1.0
"""What a client gets to flush and to leave its group; one that waits for a broker that is away would never end."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of the topics, behind the prefix of the settings."""

    prefix: str = ""

    @property
    def message_events(self) -> str:
        return f"{self.prefix}message-events"

    @property
    def contact_updated(self) -> str:
        return f"{self.prefix}contact-updated"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}message-events.dlq"


class Record(NamedTuple):
    """An empty `value` is published as null: a tombstone, which says that nothing is left of the key."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


def draft_record(topic: str, draft: Draft, *headers: Header) -> Record:
    return Record(topic, draft.conversation.encode(), dump_draft(draft), draft_headers(draft, *headers))


@asynccontextmanager
async def open_producer(bootstrap_servers: str) -> AsyncIterator[AIOKafkaProducer]:
    """All acks. UnreachableError when no broker answers. Not idempotent: ADR 9."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        acks="all",
        max_batch_size=BATCH_BYTES,
    )
    try:
        await producer.start()
    except KafkaConnectionError as error:
        await _bounded(producer.stop())
        raise UnreachableError(f"no Kafka broker answers at {bootstrap_servers}") from error
    try:
        yield producer
    finally:
        await _bounded(producer.stop())


async def _bounded(stop: Coroutine[Any, Any, None]) -> None:
    """What is given up here was acknowledged to nobody. A task of its own: a consumer that waits for its broker ends
    by raising its own tasks' CancelledError (aiokafka 0.14)."""
    stopping = asyncio.create_task(stop)
    await asyncio.wait({stopping}, timeout=STOP_SECONDS)
    if not stopping.done():
        stopping.cancel()
    elif not stopping.cancelled():
        stopping.result()


async def publish(producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
    """Returns when every record is acknowledged by all in-sync replicas; KafkaError when one can never be.

    Has no time limit of its own: what can be tried again is, until the broker is back. Callers bound it. A record may
    be on its topic twice then: readers know an event by its id, and a contact by its version.
    """
    while True:
        try:
            return await _publish_once(producer, records)
        except KafkaError as error:
            if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                raise
        await asyncio.sleep(RETRY_SECONDS)


async def _publish_once(producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
    """One batch a partition, in the order of `records`: a future for each record would cost more than the record."""
    by_partition: dict[tuple[str, int], list[Record]] = {}
    counts: dict[str, int] = {}
    for topic in {record.topic for record in records}:
        counts[topic] = len(await producer.partitions_for(topic))
    for record in records:
        count = counts[record.topic]
        place = (record.topic, partition_of(record.key, count) if count > 1 else 0)
        if place in by_partition:
            by_partition[place].append(record)
        else:
            by_partition[place] = [record]
    acknowledged = [
        await producer.send_batch(batch, topic, partition=partition)
        for (topic, partition), of_partition in by_partition.items()
        for batch in _batches(producer, of_partition)
    ]
    await asyncio.gather(*acknowledged)


def _batches(producer: AIOKafkaProducer, records: list[Record]) -> Iterator[BatchBuilder]:
    batch = producer.create_batch()
    for record in records:
        while batch.append(timestamp=None, key=record.key, value=record.value or None, headers=record.headers) is None:
            yield batch
            batch = producer.create_batch()
    batch.close()
    yield batch


async def require_topics(producer: AIOKafkaProducer, *topics: str) -> None:
    """UnreachableError when one cannot be found in time: what is published to it would wait for it for ever."""
    for topic in topics:
        try:
            async with asyncio.timeout(TOPIC_SECONDS):
                await producer.partitions_for(topic)
        except (TimeoutError, KafkaError) as error:
            raise UnreachableError(f"no topic {topic} can be found; run `leadstream setup`") from error


@lru_cache(65_536)
def partition_of(key: bytes | None, partitions: int) -> int:
    """The partition that Kafka's own clients choose, so that every producer puts a conversation in the same place."""
    positive: int = murmur2(key or b"") & 0x7FFFFFFF
    return positive % partitions


@asynccontextmanager
async def open_consumer(
    bootstrap_servers: str, topic: str, group: str | None, *, from_start: bool = True
) -> AsyncIterator[AIOKafkaConsumer]:
    """Never commits by itself. UnreachableError when no broker answers."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest" if from_start else "latest",
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
        session_timeout_ms=6_000,
        heartbeat_interval_ms=1_500,
    )
    try:
        await consumer.start()
    except KafkaConnectionError as error:
        await _bounded(consumer.stop())
        raise UnreachableError(f"no Kafka broker answers at {bootstrap_servers}") from error
    try:
        yield consumer
    finally:
        await _bounded(consumer.stop())


async def read_all(bootstrap_servers: str, topic: str) -> list[Record]:
    """Every record that is on `topic` when this is called. Tombstones have an empty value."""
    async with open_consumer(bootstrap_servers, topic, None) as consumer:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        ends = await consumer.end_offsets(partitions)
        records: list[Record] = []
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += [Record(topic, each.key, each.value or b"", list(each.headers)) for each in batch]
        return records


async def ensure_topics(settings: KafkaSettings) -> list[str]:
    """Creates what is missing and returns its names. KafkaError when the broker refuses.

    librdkafka's mock cluster cannot create topics and makes them when they are first used: nothing is done then.
    """
    topics = Topics(settings.topic_prefix)
    large = {"max.message.bytes": str(MAX_RECORD_BYTES)}
    copies = settings.topic_replication
    wanted = [
        NewTopic(
            topics.message_events,
            settings.topic_partitions,
            copies,
            topic_configs=large,
        ),
        NewTopic(topics.dead_letters, 1, copies, topic_configs={"max.message.bytes": str(MAX_LETTER_BYTES)}),
        NewTopic(
            topics.contact_updated, settings.topic_partitions, copies, topic_configs={"cleanup.policy": "compact"}
        ),
    ]
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    try:
        await admin.start()
        if (await admin.describe_cluster())["cluster_id"].startswith("mockCluster"):
            return []
        present = set(await admin.list_topics())
        missing = [topic for topic in wanted if topic.name not in present]
        if missing:
            _require_created(await admin.create_topics(missing))
        return [topic.name for topic in missing]
    except KafkaConnectionError as error:
        raise UnreachableError(f"no Kafka broker answers at {settings.kafka_bootstrap_servers}") from error
    finally:
        await admin.close()


def _require_created(response: Any) -> None:
    for name, code, message in response.topic_errors:
        error = for_code(code)
        if error not in {NoError, TopicAlreadyExistsError}:
            raise error(f"topic {name}: {message}")
