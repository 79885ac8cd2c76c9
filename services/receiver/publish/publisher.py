"""Records made safe: on the topic, or on this machine's disk until they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from services.receiver.publish.spool import Spool, SpooledRecord, SpoolError
from shared.bus.producer import AIOKafkaProducer, KafkaError, MessageSizeTooLargeError, Record, Topics, publish
from shared.runtime.metrics import ReceiverMetrics

DRAIN_RECORDS, DRAIN_SECONDS = 2000, 30.0
"""How many spooled records are published at once, and how long that may take."""

log = structlog.get_logger()


class SpoolingPublisher:
    """Publishes, and spools what the broker does not acknowledge in time; each topic by itself.

    A topic that takes nothing (no dead letter can be written, say) holds up no other.
    """

    def __init__(
        self, producer: AIOKafkaProducer, topics: Topics, timeout_seconds: float, spool: Spool, metrics: ReceiverMetrics
    ) -> None:
        self._spool = spool
        self._metrics = metrics
        self._topic_publishers = {
            topic: TopicPublisher(producer, topic, timeout_seconds, spool, self._measure)
            for topic in {topics.message_events, topics.dead_letters, *spool.topics}
        }
        self._measure()

    async def make_safe(self, records: Sequence[Record]) -> None:
        """Returns when all of `records` are on their topics or on the disk. SpoolError when they may not be."""
        for topic, topic_publisher in self._topic_publishers.items():
            of_topic = [record for record in records if record.topic == topic]
            if of_topic and not await topic_publisher.make_safe(of_topic):
                self._metrics.spooled.inc(len(of_topic))
                self._measure()

    async def is_writable(self) -> bool:
        """Whether a webhook that came now would be safe."""
        return await self._spool.probe() or not any(
            topic_publisher.is_spooling for topic_publisher in self._topic_publishers.values()
        )

    async def drain(self) -> None:
        """Moves the spool to the topics whenever there is something in it; runs until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for topic_publisher in self._topic_publishers.values():
                group.create_task(topic_publisher.drain())

    async def drain_fully(self) -> None:
        """Moves all of the spool to the topics. The first failure is raised: TimeoutError, KafkaError, SpoolError."""
        for topic in self._spool.topics:
            while not self._spool.is_free_of(topic):
                await self._topic_publishers[topic].drain_once()

    def _measure(self) -> None:
        spool, metrics = self._spool, self._metrics
        metrics.spool_depth.labels(spool.name).set(spool.depth)
        metrics.spool_bytes.labels(spool.name).set(spool.bytes)
        metrics.spool_oldest.labels(spool.name).set(spool.oldest_at)


class TopicPublisher:
    """One topic's way.

    From a failure on everything goes to the spool, behind what waits there already, until `drain` has emptied it: no
    event overtakes an earlier one of its conversation. What timed out may still arrive, and then again from the spool;
    its ids are the same.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        timeout_seconds: float,
        spool: Spool,
        drained: Callable[[], None],
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._timeout_seconds = timeout_seconds
        self._spool = spool
        self._drained = drained
        self._filled = asyncio.Event()
        if not spool.is_free_of(topic):
            self._filled.set()

    @property
    def is_spooling(self) -> bool:
        return self._filled.is_set()

    async def make_safe(self, records: Sequence[Record]) -> bool:
        """Whether they were published at once, and not spooled. SpoolError when neither is to be had.

        What the spool does not take is tried on the topic whatever waits before it: to be overtaken is better than
        to be refused.
        """
        was_spooling = self.is_spooling
        if not was_spooling and await self._is_sent(records):
            return True
        try:
            await self._spool.put(records)
        except SpoolError:
            if was_spooling and await self._is_sent(records):
                return True
            raise
        return False

    async def _is_sent(self, records: Sequence[Record]) -> bool:
        try:
            await self._send(records, self._timeout_seconds)
        except (TimeoutError, KafkaError) as error:
            if not self.is_spooling:
                log.warning("spooling", topic=self._topic, error=type(error).__name__)
            self._filled.set()
            return False
        return True

    async def drain(self) -> None:
        failures = 0
        while True:
            await self._filled.wait()
            try:
                await self.drain_once()
                failures = 0
            except (TimeoutError, KafkaError, SpoolError) as error:
                failures += 1
                log.warning("spool_waits", topic=self._topic, error=type(error).__name__, depth=self._spool.depth)
                await asyncio.sleep(min(2.0, 0.1 * 2 ** min(failures, 5)))

    async def drain_once(self) -> None:
        waiting = await self._spool.peek(self._topic, DRAIN_RECORDS)
        try:
            await self._send([each.record for each in waiting], DRAIN_SECONDS)
            await self._spool.remove(waiting)
        except MessageSizeTooLargeError:
            await self._drain_singly(waiting)
        self._drained()
        if self._spool.is_free_of(self._topic):
            self._filled.clear()
            log.info("spool_drained", topic=self._topic)

    async def _drain_singly(self, waiting: Sequence[SpooledRecord]) -> None:
        """What the topic will never take is set aside on the disk, so that it holds up nothing and is not lost."""
        for each in waiting:
            try:
                await self._send([each.record], DRAIN_SECONDS)
                await self._spool.remove([each])
            except MessageSizeTooLargeError:
                log.warning("record_set_aside", bytes=len(each.record.value), topic=each.record.topic)
                await self._spool.set_aside(each)

    async def _send(self, records: Sequence[Record], timeout_seconds: float) -> None:
        async with asyncio.timeout(timeout_seconds):
            await publish(self._producer, records)
