"""The topics' names, and publishing records to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
)
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.bus.connection import KafkaConnection, start_client, stop_client
from shared.contract.encoded_events import EncodedEvent, dump_encoded_event, encoded_event_headers
from shared.contract.events import Header
from shared.contract.failures import UnreachableError

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
    "connect",
    "create_producer",
    "event_record",
    "open_producer",
    "partition_of",
    "publish",
    "require_topics",
]

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""A dead letter can hold a whole webhook body (4 MiB) with JSON escapes."""
BATCH_BYTES = 256 * 1024
"""Maximum size of a batch of one partition's records; a larger record is sent alone."""
TOPIC_LOOKUP_SECONDS = 10.0
"""Time limit for finding a topic when a service starts."""
PUBLISH_RETRY_SECONDS = 0.5
"""Pause after a send that aiokafka has given up, which it does after 40 s."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics' names, with the prefix from the settings."""

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
    """An empty `value` is published as null: a tombstone, which deletes the key."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


def event_record(topic: str, event: EncodedEvent, *headers: Header) -> Record:
    return Record(topic, event.conversation.encode(), dump_encoded_event(event), encoded_event_headers(event, *headers))


@asynccontextmanager
async def open_producer(kafka: KafkaConnection) -> AsyncIterator[AIOKafkaProducer]:
    """Open a connected producer. UnreachableError when no broker can be used."""
    async with create_producer(kafka) as producer:
        await start_client(kafka, producer.start)
        yield producer


@asynccontextmanager
async def create_producer(kafka: KafkaConnection) -> AsyncIterator[AIOKafkaProducer]:
    """Create a producer with acks=all, not idempotent (ADR 9). It publishes nothing before it is started."""
    producer = AIOKafkaProducer(**kafka.options, acks="all", max_batch_size=BATCH_BYTES)
    try:
        yield producer
    finally:
        await stop_client(producer.stop())


async def connect(kafka: KafkaConnection, producer: AIOKafkaProducer, topic: str) -> None:
    """Start the producer and find `topic`, however long no broker can be used. The reason is logged when it changes.

    UnreachableError when a broker answers that the topic does not exist.
    """
    await _start_when_possible(kafka, producer)
    while not await _is_found(producer, topic):
        with contextlib.suppress(KafkaError):
            known = await producer.client.fetch_all_metadata()
            if topic not in known.topics():
                raise _not_found(topic)
        await asyncio.sleep(PUBLISH_RETRY_SECONDS)


async def _start_when_possible(kafka: KafkaConnection, producer: AIOKafkaProducer) -> None:
    reason = ""
    while True:
        try:
            return await start_client(kafka, producer.start)
        except UnreachableError as error:
            if str(error) != reason:
                reason = str(error)
                log.warning("broker_not_usable", error=reason)
        await asyncio.sleep(PUBLISH_RETRY_SECONDS)


async def publish(producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
    """Return when all in-sync replicas have acknowledged every record. KafkaError when one can never be.

    Retriable errors are retried without limit until the broker is back; callers set a limit. A record may then be on
    its topic twice: readers know an event by its id, and a contact by its version.
    """
    while True:
        try:
            return await _publish_once(producer, records)
        except KafkaError as error:
            if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                raise
        await asyncio.sleep(PUBLISH_RETRY_SECONDS)


async def _publish_once(producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
    """Send one batch per partition, in the order of `records`: a future per record costs more than the record."""
    by_partition: dict[tuple[str, int], list[Record]] = {}
    counts: dict[str, int] = {}
    for topic in {record.topic for record in records}:
        counts[topic] = len(await producer.partitions_for(topic))
    for record in records:
        count = counts[record.topic]
        partition = (record.topic, partition_of(record.key, count) if count > 1 else 0)
        by_partition.setdefault(partition, []).append(record)
    acknowledged = [
        await producer.send_batch(batch, topic, partition=number)
        for (topic, number), of_partition in by_partition.items()
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
    """UnreachableError when a topic cannot be found in time: publishing to it would wait without limit."""
    for topic in topics:
        if not await _is_found(producer, topic):
            raise _not_found(topic)


async def _is_found(producer: AIOKafkaProducer, topic: str) -> bool:
    """Return whether the topic is found in time. A broker that has just started may not know its topics yet."""
    try:
        async with asyncio.timeout(TOPIC_LOOKUP_SECONDS):
            await producer.partitions_for(topic)
    except (TimeoutError, KafkaError):
        return False
    return True


def _not_found(topic: str) -> UnreachableError:
    return UnreachableError(f"topic {topic} cannot be found; run `leadstream setup`")


@lru_cache(16_384)
def partition_of(key: bytes | None, partitions: int) -> int:
    """Return the partition that Kafka's own clients choose, so that all producers agree on a conversation's."""
    positive: int = murmur2(key or b"") & 0x7FFFFFFF
    return positive % partitions
