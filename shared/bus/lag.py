"""The length of a topic and the lag of a consumer group on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from shared.bus.connection import KafkaConnection, started


class LagReader:
    """Reads offsets only, without joining the group. KafkaError when the broker fails or a topic does not exist."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic

    async def read(self) -> tuple[int, int]:
        """Return how many records were ever written to the topic, and how many the group has not committed."""
        partitions = await self._partitions(self._topic)
        ends = await self._consumer.end_offsets(partitions)
        begins = await self._consumer.beginning_offsets(partitions)
        committed = {each: await self._consumer.committed(each) for each in partitions}
        lag = sum(max(ends[each] - max(committed[each] or 0, begins[each]), 0) for each in partitions)
        return sum(ends.values()), lag

    async def end_of(self, topic: str) -> int:
        """Return how many records were ever written to `topic`, which may be another one."""
        return sum((await self._consumer.end_offsets(await self._partitions(topic))).values())

    async def _partitions(self, topic: str) -> list[TopicPartition]:
        if not (numbers := self._consumer.partitions_for_topic(topic)):
            # Without a subscription the metadata has no topic, and the consumer's own `topics()` does not update it.
            await self._consumer._client.force_metadata_update()
            numbers = self._consumer.partitions_for_topic(topic)
        if not numbers:
            raise UnknownTopicOrPartitionError(topic)
        return [TopicPartition(topic, number) for number in numbers]


@asynccontextmanager
async def open_lag_reader(kafka: KafkaConnection, topic: str, group: str) -> AsyncIterator[LagReader]:
    """UnreachableError when no broker can be used."""
    consumer = AIOKafkaConsumer(**kafka.options, group_id=group, enable_auto_commit=False)
    async with started(kafka, consumer.start, consumer.stop):
        yield LagReader(consumer, topic)
