"""Records made safe: on the topic, or on this machine's disk until they are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from services.receiver.spool import Spool, Spooled, SpoolError
from shared.kafka import AIOKafkaProducer, KafkaError, MessageSizeTooLargeError, Record, Topics, publish
from shared.metrics import ReceiverMetrics

DRAIN_RECORDS, DRAIN_SECONDS = 2000, 30.0
"""How many spooled records are published at once, and how long that may take."""

log = structlog.get_logger()


class SpoolingPublisher:
    """Publishes, and spools what the broker does not acknowledge in time.

    From a failure on everything goes to the spool, behind what waits there already, until `drain` has emptied it: no
    event overtakes an earlier one of its conversation. What timed out may still arrive, and then again from the spool;
    its ids are the same.
    """

    def __init__(
        self, producer: AIOKafkaProducer, topics: Topics, timeout_seconds: float, spool: Spool, metrics: ReceiverMetrics
    ) -> None:
        self._producer = producer
        self._topics = topics
        self._timeout_seconds = timeout_seconds
        self._spool = spool
        self._metrics = metrics
        self._spooling = spool.depth > 0
        self._filled = asyncio.Event()
        self._measure()
        if self._spooling:
            self._filled.set()

    async def make_safe(self, records: Sequence[Record]) -> None:
        """Returns when all of `records` are on their topics or on the disk. SpoolError when they may not be."""
        if not await self._is_sent(records):
            await self._spool.put(records)
            self._metrics.spooled.inc(len(records))
            self._measure()

    async def _is_sent(self, records: Sequence[Record]) -> bool:
        if self._spooling:
            return False
        try:
            await self._send(records, self._timeout_seconds)
        except (TimeoutError, KafkaError) as error:
            self._spooling = True
            self._filled.set()
            log.warning("spooling", error=type(error).__name__)
            return False
        return True

    def _measure(self) -> None:
        spool, metrics = self._spool, self._metrics
        metrics.spool_depth.labels(spool.name).set(spool.depth)
        metrics.spool_bytes.labels(spool.name).set(spool.bytes)
        metrics.spool_oldest.labels(spool.name).set(spool.oldest_at)

    async def is_writable(self) -> bool:
        """Whether a webhook that came now would be safe."""
        return await self._spool.probe() or not self._spooling

    async def is_topic_there(self) -> bool:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._producer.partitions_for(self._topics.message_events)
        except (TimeoutError, KafkaError):
            return False
        return True

    async def drain(self) -> None:
        """Moves the spool to the topic whenever there is something in it; runs until it is cancelled."""
        failures = 0
        while True:
            await self._filled.wait()
            try:
                await self._drain_once()
                failures = 0
            except (TimeoutError, KafkaError, SpoolError) as error:
                failures += 1
                log.warning("spool_waits", error=type(error).__name__, depth=self._spool.depth)
                await asyncio.sleep(min(2.0, 0.1 * 2 ** min(failures, 5)))

    async def _drain_once(self) -> None:
        waiting = await self._spool.peek(DRAIN_RECORDS)
        try:
            await self._send([each.record for each in waiting], DRAIN_SECONDS)
            await self._spool.remove(waiting)
        except MessageSizeTooLargeError:
            await self._drain_singly(waiting)
        self._measure()
        if self._spool.is_empty:
            self._spooling = False
            self._filled.clear()
            log.info("spool_drained")

    async def _drain_singly(self, waiting: Sequence[Spooled]) -> None:
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
