"""The topics, and what is written to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
)
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder

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
    "event_record",
    "open_producer",
    "partition_of",
    "publish",
    "require_topics",
    "stop_client",
]

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""A record can hold a whole webhook body (4 MiB) with its escapes, parked."""
BATCH_BYTES = 256 * 1024
"""Records of one partition go out in batches of at most this size; a larger record goes alone."""
TOPIC_LOOKUP_SECONDS = 10.0
"""What finding a topic gets, at a start."""
PUBLISH_RETRY_SECONDS = 0.5
"""After a send that aiokafka itself has given up, which it does after 40 s."""
CLIENT_STOP_SECONDS = 1.0
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


def event_record(topic: str, draft: EncodedEvent, *headers: Header) -> Record:
    return Record(topic, draft.conversation.encode(), dump_encoded_event(draft), encoded_event_headers(draft, *headers))


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
        await stop_client(producer.stop())
        raise UnreachableError(f"no Kafka broker answers at {bootstrap_servers}") from error
    try:
        yield producer
    finally:
        await stop_client(producer.stop())


async def stop_client(stop: Coroutine[Any, Any, None]) -> None:
    """Ends a client. What is given up here was acknowledged to nobody.

    A task of its own: a consumer that waits for its broker ends by raising its own tasks' CancelledError (aiokafka
    0.14).
    """
    stopping = asyncio.create_task(stop)
    await asyncio.wait({stopping}, timeout=CLIENT_STOP_SECONDS)
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
        await asyncio.sleep(PUBLISH_RETRY_SECONDS)


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
            async with asyncio.timeout(TOPIC_LOOKUP_SECONDS):
                await producer.partitions_for(topic)
        except (TimeoutError, KafkaError) as error:
            raise UnreachableError(f"no topic {topic} can be found; run `leadstream setup`") from error


@lru_cache(16_384)
def partition_of(key: bytes | None, partitions: int) -> int:
    """The partition that Kafka's own clients choose, so that every producer puts a conversation in the same place."""
    positive: int = murmur2(key or b"") & 0x7FFFFFFF
    return positive % partitions
