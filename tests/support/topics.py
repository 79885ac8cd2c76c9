"""Reading a whole topic, and writing events as a producer does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from shared.events import Event, dump_event, event_headers
from shared.kafka import Record, TopicPartition, open_consumer, open_producer, publish


async def read_topic(bootstrap_servers: str, topic: str) -> list[tuple[bytes | None, bytes, dict[str, bytes]]]:
    """Every record that is on the topic now: key, value, headers."""
    async with open_consumer(bootstrap_servers, topic, None) as consumer:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        ends = await consumer.end_offsets(partitions)
        records: list[tuple[bytes | None, bytes, dict[str, bytes]]] = []
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += [(r.key, r.value or b"", dict(r.headers)) for r in batch]
        return records


async def publish_events(bootstrap_servers: str, topic: str, events: Iterable[Event]) -> None:
    records = [Record(topic, str(e.conversation).encode(), dump_event(e), event_headers(e)) for e in events]
    async with open_producer(bootstrap_servers) as producer, asyncio.timeout(60):
        await publish(producer, records)
