"""From a batch to records that are safe: on the topic, or on this machine's disk until they are."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import structlog

from services.receiver.normalise import Batch
from services.receiver.spool import Spool, Spooled, SpoolError
from shared.deadletters import dead_letter_headers, dump_dead_letter
from shared.drafts import draft_headers, dump_draft
from shared.kafka import AIOKafkaProducer, KafkaError, MessageSizeTooLargeError, Record, Topics, publish
from shared.metrics import ReceiverMetrics

GROUP_BYTES = 1024 * 1024
"""About how much is published at once; more could not be acknowledged within the timeout."""
DRAIN_RECORDS, DRAIN_SECONDS = 500, 30.0
"""How many spooled records are published at once, and how long that may take."""
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

log = structlog.get_logger()


class Publisher(Protocol):
    async def publish(self, batch: Batch, trace: str) -> None:
        """Returns when all of `batch` is safe; its records carry `trace`. SpoolError when it may not be."""
        ...

    async def is_writable(self) -> bool: ...


class SpoolingPublisher:
    """Publishes, and spools what the broker does not acknowledge in time.

    Requests that arrive while others are being published go together next: one group at a time, in their order.

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
        self._waiting: deque[tuple[list[Record], asyncio.Future[None]]] = deque()
        self._working: asyncio.Task[None] | None = None
        self._spooling = spool.depth > 0
        self._filled = asyncio.Event()
        self._measure()
        if self._spooling:
            self._filled.set()

    async def publish(self, batch: Batch, trace: str) -> None:
        records = self._records(batch, trace)
        if not records:
            return
        safe = asyncio.get_running_loop().create_future()
        self._waiting.append((records, safe))
        if self._working is None:
            self._working = asyncio.create_task(self._publish_groups())
        await safe

    async def _publish_groups(self) -> None:
        while self._waiting:
            group = self._take_group()
            error: Exception | None = None
            try:
                await self._make_safe([record for records, _ in group for record in records])
            except Exception as raised:  # noqa: BLE001 - each of those who wait is told, and raises it
                error = raised
            for _, safe in group:
                if safe.done():
                    continue
                if error is None:
                    safe.set_result(None)
                else:
                    safe.set_exception(error)
        self._working = None

    def _take_group(self) -> list[tuple[list[Record], asyncio.Future[None]]]:
        """The oldest of what waits: as much as can be published in time, but one request in any case."""
        group, size = [], 0
        while self._waiting and size < GROUP_BYTES:
            group.append(self._waiting.popleft())
            size += sum(len(record.value) for record in group[-1][0])
        return group

    async def _make_safe(self, records: Sequence[Record]) -> None:
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
        """Moves the spool to the topic whenever there is something in it; runs until it is cancelled.

        A producer that is broken for good (its sequence is out of order, say) ends the process, for a new one to begin.
        """
        failures = 0
        while True:
            await self._filled.wait()
            try:
                await self._drain_once()
                failures = 0
            except (TimeoutError, KafkaError, SpoolError) as error:
                if isinstance(error, KafkaError) and not error.retriable:
                    raise
                failures += 1
                log.info("spool_waits", error=type(error).__name__, depth=self._spool.depth)
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

    def _records(self, batch: Batch, trace: str) -> list[Record]:
        topics, traceparent = self._topics, ("traceparent", trace.encode())
        records = [
            Record(
                topics.message_events,
                draft.conversation.encode(),
                dump_draft(draft),
                draft_headers(draft, traceparent),
            )
            for draft in batch.events
        ]
        for letter in batch.letters:
            key, headers = letter.letter_id.encode(), [*dead_letter_headers(letter), traceparent]
            records.append(Record(topics.dead_letters, key, dump_dead_letter(letter), headers))
        return records


def trace_of(traceparent: str | None) -> str:
    """`traceparent` where it is one of W3C trace context's version 00, else a new one, sampled."""
    if traceparent and TRACEPARENT.fullmatch(traceparent):
        return traceparent
    digits = secrets.token_hex(24)
    return f"00-{digits[:32]}-{digits[32:]}-01"
