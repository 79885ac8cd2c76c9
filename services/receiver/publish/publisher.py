"""Stores records on their topics, or in the spool while the broker does not acknowledge them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter, time

import structlog

from services.receiver.publish.records import too_large_letter
from services.receiver.publish.spool import Spool, SpooledRecord, SpoolError
from shared.bus.producer import AIOKafkaProducer, KafkaError, MessageSizeTooLargeError, Record, Topics, publish
from shared.contract.failures import Reason
from shared.runtime.clock import Clock
from shared.runtime.metrics import ReceiverMetrics

DRAIN_RECORDS, DRAIN_SECONDS = 2000, 30.0
"""The most spooled records that are published at once, and the timeout for them."""
LETTERS_SHARE = 0.25
"""The share of the spool that dead letters may fill; the rest is for events."""

log = structlog.get_logger()


class SpoolingPublisher:
    """Publishes records, and spools those that the broker does not acknowledge in time.

    Topics are independent: when no dead letter can be written, events still are. Dead letters get LETTERS_SHARE of the
    spool at most.
    """

    def __init__(
        self, producer: AIOKafkaProducer, topics: Topics, timeout_seconds: float, spool: Spool,
        metrics: ReceiverMetrics, clock: Clock,
    ) -> None:  # fmt: skip
        self._spool = spool
        self._metrics = metrics
        self._topics = topics
        self._clock = clock
        shares = dict.fromkeys([topics.message_events, *spool.topics], 1.0) | {topics.dead_letters: LETTERS_SHARE}
        self._topic_publishers = {
            topic: TopicPublisher(
                producer, topic, timeout_seconds, spool, share, metrics, self._measure, self._set_aside
            )
            for topic, share in shares.items()
        }
        self._measure()

    async def store(self, records: Sequence[Record]) -> bool:
        """Store `records` of one topic. Returns True when the broker has acknowledged all, False when they are spooled.

        SpoolError when one may be neither.
        """
        is_published = await self._topic_publishers[records[0].topic].store(records)
        if not is_published:
            self._metrics.spooled.inc(len(records))
            self._measure()
        return is_published

    async def is_writable(self) -> bool:
        """Return whether the events of a webhook that arrives now could be stored."""
        return await self._spool.probe() or not self._topic_publishers[self._topics.message_events].is_spooling

    async def drain(self) -> None:
        """Move spooled records to their topics whenever there are any. Runs until it is cancelled.

        Before it runs, every record is spooled. The producer must be connected.
        """
        async with asyncio.TaskGroup() as group:
            for each in self._topic_publishers.values():
                group.create_task(each.drain())

    async def drain_fully(self) -> None:
        """Move all spooled records to their topics. Raises the first TimeoutError, KafkaError or SpoolError."""
        for topic in self._spool.topics:
            while not self._spool.is_free_of(topic):
                await self._topic_publishers[topic].drain_once()

    async def _set_aside(self, refused: SpooledRecord) -> None:
        """Park a record that is too large for its topic as a dead letter. Keep it on the disk where that fails."""
        record = refused.record
        log.warning("record_set_aside", bytes=len(record.value), topic=record.topic)
        if record.topic != self._topics.dead_letters:
            with contextlib.suppress(SpoolError):
                await self.store([too_large_letter(record, self._topics, self._clock())])
                await self._spool.remove([refused])
                self._metrics.parked[Reason.TOO_LARGE].inc()
                return
        await self._spool.set_aside(refused)

    def _measure(self) -> None:
        spool, metrics = self._spool, self._metrics
        metrics.spool_depth.labels(spool.name).set(spool.depth)
        metrics.spool_bytes.labels(spool.name).set(spool.bytes)
        metrics.spool_set_aside.labels(spool.name).set(spool.set_aside_number)
        metrics.spool_oldest.labels(spool.name).set(spool.oldest_at)


class TopicPublisher:
    """Stores the records of one topic.

    At the start and after a failure every record goes to the spool, behind those that wait there, until `drain` has
    emptied it. Records that timed out may still arrive, and arrive again from the spool with the same ids.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        timeout_seconds: float,
        spool: Spool,
        spool_share: float,
        metrics: ReceiverMetrics,
        on_drained: Callable[[], None],
        set_aside: Callable[[SpooledRecord], Awaitable[None]],
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._timeout_seconds = timeout_seconds
        self._spool = spool
        self._spool_share = spool_share
        self._publish_seconds = metrics.publish_seconds.labels(topic)
        self._publish_failures = metrics.publish_failures[topic]
        self._acknowledged = metrics.acknowledged_seconds.labels("spool")
        self._on_drained = on_drained
        self._set_aside = set_aside
        self._spooling = asyncio.Event()
        self._spooling.set()

    @property
    def is_spooling(self) -> bool:
        return self._spooling.is_set()

    async def store(self, records: Sequence[Record]) -> bool:
        """Return True when `records` were published, False when they were spooled. SpoolError when both failed.

        Records that the spool refuses are published directly even when others wait before them: being overtaken is
        better than being refused.
        """
        was_spooling = self.is_spooling
        if not was_spooling and await self._try_send(records):
            return True
        try:
            await self._spool.put(records, self._spool_share)
        except SpoolError:
            if was_spooling and await self._try_send(records):
                return True
            raise
        return False

    async def _try_send(self, records: Sequence[Record]) -> bool:
        try:
            await self._send(records, self._timeout_seconds)
        except (TimeoutError, KafkaError) as error:
            if not self.is_spooling:
                log.warning("spooling", topic=self._topic, error=type(error).__name__)
            self._spooling.set()
            return False
        return True

    async def drain(self) -> None:
        """Move spooled records to the topic whenever there are any. The producer is connected."""
        if self._spool.is_free_of(self._topic):
            self._spooling.clear()
        failures = 0
        while True:
            await self._spooling.wait()
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
            await self._send_spooled(waiting)
            await self._spool.remove(waiting)
        except MessageSizeTooLargeError:
            await self._drain_singly(waiting)
        self._on_drained()
        if self._spool.is_free_of(self._topic):
            self._spooling.clear()
            log.info("spool_drained", topic=self._topic)

    async def _drain_singly(self, waiting: Sequence[SpooledRecord]) -> None:
        """Publish records one by one. Those too large for the topic are set aside and block no others."""
        for each in waiting:
            try:
                await self._send_spooled([each])
                await self._spool.remove([each])
            except MessageSizeTooLargeError:
                await self._set_aside(each)

    async def _send(self, records: Sequence[Record], timeout_seconds: float) -> None:
        began_at = perf_counter()
        try:
            async with asyncio.timeout(timeout_seconds):
                await publish(self._producer, records)
        except (TimeoutError, KafkaError):
            self._publish_failures.inc()
            raise
        self._publish_seconds.observe(perf_counter() - began_at)

    async def _send_spooled(self, waiting: Sequence[SpooledRecord]) -> None:
        await self._send([each.record for each in waiting], DRAIN_SECONDS)
        now = time()
        for each in waiting:
            self._acknowledged.observe(max(0.0, now - each.added_at))
