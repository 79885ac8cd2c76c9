"""Reading the present records of a topic once, without a consumer group."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from shared.bus.connection import KafkaConnection, started
from shared.bus.producer import MAX_RECORD_BYTES, Record, partition_of


class PlacedRecord(NamedTuple):
    """A record with its position on the topic and its timestamp."""

    partition: int
    offset: int
    at: datetime
    record: Record


@asynccontextmanager
async def _reader(kafka: KafkaConnection, topic: str) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    """Open a consumer at the beginning of the topic; yields it and the topic's partitions."""
    consumer = AIOKafkaConsumer(
        topic,
        **kafka.options,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
    )
    async with started(kafka, consumer.start, consumer.stop):
        yield consumer, [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]


async def read_all(kafka: KafkaConnection, topic: str) -> list[Record]:
    """Return every record on `topic` at the time of the call. Tombstones have an empty value."""
    return [record async for record in stream_all(kafka, topic)]


async def stream_all(kafka: KafkaConnection, topic: str) -> AsyncGenerator[Record, None]:
    """Yield the records of `read_all` one by one. Close the generator (`aclosing`) when stopping early."""
    async with aclosing(stream_placed(kafka, topic)) as every:
        async for each in every:
            yield each.record


async def stream_placed(kafka: KafkaConnection, topic: str) -> AsyncGenerator[PlacedRecord, None]:
    """Yield the records of `read_all` with their positions."""
    async with _reader(kafka, topic) as (consumer, partitions):
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for partition, batch in (await consumer.getmany(timeout_ms=200)).items():
                for each in batch:
                    yield _placed(partition, each)


async def stream_since(
    kafka: KafkaConnection, topic: str, since: datetime, key: bytes | None = None
) -> AsyncGenerator[PlacedRecord, None]:
    """Yield the records written to `topic` since `since`, up to the time of the call.

    With `key`, only records with that key, and only the key's partition is read.
    """
    async with _reader(kafka, topic) as (consumer, every):
        wanted = every if key is None else [TopicPartition(topic, partition_of(key, len(every)))] if every else []
        consumer.pause(*(partition for partition in every if partition not in wanted))
        from_then = await consumer.offsets_for_times(dict.fromkeys(wanted, int(since.timestamp() * 1000)))
        starts = {partition: found.offset for partition, found in from_then.items() if found}
        for partition, offset in starts.items():
            consumer.seek(partition, offset)
        consumer.pause(*(partition for partition in wanted if partition not in starts))
        ends = await consumer.end_offsets(list(starts))
        while any([await consumer.position(partition) < ends[partition] for partition in starts]):
            for partition, batch in (await consumer.getmany(timeout_ms=200)).items():
                for each in batch:
                    if partition in starts and key in (None, each.key):
                        yield _placed(partition, each)


def _placed(partition: TopicPartition, found: ConsumerRecord[bytes, bytes]) -> PlacedRecord:
    at = datetime.fromtimestamp(found.timestamp / 1000, UTC)
    record = Record(partition.topic, found.key, found.value or b"", list(found.headers))
    return PlacedRecord(partition.partition, found.offset, at, record)
