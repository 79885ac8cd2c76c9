"""How far a topic goes, and a group has come on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.kafka_groups import started


class Gauge:
    """It reads no record and joins no group."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic

    async def read(self) -> tuple[int, int]:
        """Records that were ever put on the topic, and how many of them the group has yet to commit."""
        numbers = self._consumer.partitions_for_topic(self._topic) or await self._partitions()
        partitions = [TopicPartition(self._topic, number) for number in numbers]
        if not partitions:
            return 0, 0
        ends = await self._consumer.end_offsets(partitions)
        begins = await self._consumer.beginning_offsets(partitions)
        committed = {each: await self._consumer.committed(each) for each in partitions}
        lag = sum(ends[each] - max(committed[each] or 0, begins[each]) for each in partitions)
        return sum(ends.values()), lag

    async def _partitions(self) -> set[int]:
        await self._consumer.topics()
        return self._consumer.partitions_for_topic(self._topic) or set()


@asynccontextmanager
async def open_gauge(bootstrap_servers: str, topic: str, group: str) -> AsyncIterator[Gauge]:
    """UnreachableError when no broker answers."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False)
    async with started(consumer, bootstrap_servers):
        yield Gauge(consumer, topic)
