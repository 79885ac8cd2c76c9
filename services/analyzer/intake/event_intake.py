"""Writes events from the topic to the store. The commit is the last step of a batch, and no model call precedes it.

While a batch is written, the next one is polled and decoded, and records that have arrived by then are added to it: one
batch ahead, never more. When the store is slow, the partitions are paused; the consumer stays in its group, because its
heartbeats continue.

A batch that is not full waits until what is due is analysed, but not for long. A database that gets all requests at
once takes several times as long for each, which is more than the wait costs: at 200 events a second, from webhook to
contact took 115 ms without the wait and 55 ms with it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from services.analyzer.intake.aggregate import Aggregate
from shared.bus.consumer import Consumer, OffsetsGoneError
from shared.bus.decode import RawRecord, dead_letter, decode
from shared.bus.producer import (
    AIOKafkaProducer,
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    Record,
    TopicPartition,
    Topics,
    publish,
)
from shared.contract.dead_letters import DeadLetter, dead_letter_headers, dump_dead_letter
from shared.contract.events import Event
from shared.contract.failures import Reason
from shared.runtime.clock import Clock
from shared.runtime.metrics import AnalyzerMetrics
from shared.runtime.retry import retry_until_stopped
from shared.store.mongo import UnstorableError

POLL_MS = 200
"""How long a poll waits for records."""
TOP_UP_POLL_MS = 5
"""How long a poll waits for records that have arrived since to be fetched."""
MAX_IDLE_WAIT_SECONDS = 0.05
"""How long a batch that is not full waits for the pool to finish what is due."""
BATCH_RECORDS = 1000
WRITE_PATIENCE_SECONDS = 1.0
"""How long a batch may take to be written before the partitions are paused; then the interval of paused polls."""
MAX_REVOCATION_SECONDS = 2.0
"""How long a rebalance waits for the batch that is being written, so that no other instance has to write it again."""

log = structlog.get_logger()

Pair = tuple[RawRecord, Event | DeadLetter]


class DeadLetterPublisher:
    """Publishes dead letters; waits until the broker acknowledges them."""

    def __init__(self, producer: AIOKafkaProducer, topics: Topics, metrics: AnalyzerMetrics) -> None:
        self._producer = producer
        self._topic = topics.dead_letters
        self._metrics = metrics

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        records = [
            Record(self._topic, letter.letter_id.encode(), dump_dead_letter(letter), dead_letter_headers(letter))
            for letter in letters
        ]
        await retry_until_stopped(lambda: publish(self._producer, records), KafkaError)
        for letter in letters:
            self._metrics.parked[letter.reason].inc()
            log.warning("parked", reason=letter.reason, detail=letter.detail, letter_id=letter.letter_id)


class WriteListener(Protocol):
    """Works on what the intake has written."""

    def notify_written(self, keys: Iterable[str]) -> None: ...

    async def until_idle(self) -> None:
        """Return when nothing is left that can be done now."""


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Decoded records, and the offset at which each partition continues. It is valid only in its `term`."""

    term: int = 0
    pairs: Sequence[Pair] = ()
    offsets: dict[TopicPartition, int] = field(default_factory=dict)


class EventIntake:
    """`listener` is notified of the conversations of every batch that is written."""

    def __init__(
        self,
        consumer: Consumer,
        aggregate: Aggregate,
        dead_letters: DeadLetterPublisher,
        listener: WriteListener,
        clock: Clock,
        metrics: AnalyzerMetrics,
    ) -> None:
        self._consumer = consumer
        self._aggregate = aggregate
        self._dead_letters = dead_letters
        self._listener = listener
        self._clock = clock
        self._metrics = metrics
        self._settling: asyncio.Task[None] | None = None
        self._committing: asyncio.Task[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`. What was polled and not committed is delivered again, here or to another instance.

        OffsetsGoneError when the topic has deleted what comes next.
        """
        self._consumer.before_revocation = self._before_revocation
        batch = EventBatch()
        try:
            while not stop.is_set():
                batch = await self._settle_and_poll(batch) if batch.pairs else await self._poll(POLL_MS, BATCH_RECORDS)
        except OffsetsGoneError as error:
            log.critical("offsets_gone", advice=str(error))
            raise

    async def _poll(self, timeout_ms: int, max_records: int) -> EventBatch:
        """Poll a batch. Nothing is awaited before the term is read, so the batch belongs to that assignment."""
        polled = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        term = self._consumer.term
        pairs = self._decode([record for records in polled.values() for record in records])
        return EventBatch(term, pairs, {partition: records[-1].offset + 1 for partition, records in polled.items()})

    def _decode(self, records: Sequence[RawRecord]) -> list[Pair]:
        now = self._clock()
        return [(record, decode(record, now)) for record in records]

    async def _settle_and_poll(self, batch: EventBatch) -> EventBatch:
        """Return the next batch when this one is committed, or another instance has its partitions."""
        self._settling = asyncio.create_task(self._settle(batch))
        try:
            ahead = await self._poll(POLL_MS, BATCH_RECORDS)
            await self._poll_paused_until(self._settling)
            await self._settling
        finally:
            self._settling.cancel()
            await asyncio.wait({self._settling})
        return await self._filled(ahead) if ahead.pairs else ahead

    async def _filled(self, batch: EventBatch) -> EventBatch:
        """Wait for the pool to be idle and add what has arrived meanwhile.

        The first poll empties the client's buffer, so that more is fetched during the wait; the last one takes that.
        Without this these records would wait until the batch is written.
        """
        batch = await self._topped_up(batch, 0)
        if len(batch.pairs) < BATCH_RECORDS:
            with suppress(TimeoutError):
                async with asyncio.timeout(MAX_IDLE_WAIT_SECONDS):
                    await self._listener.until_idle()
            batch = await self._topped_up(batch, 0)
        return await self._topped_up(batch, TOP_UP_POLL_MS)

    async def _topped_up(self, batch: EventBatch, timeout_ms: int) -> EventBatch:
        """Add what is polled. After a rebalance only that is returned: the rest is delivered again."""
        room = BATCH_RECORDS - len(batch.pairs)
        if not room:
            return batch
        more = await self._poll(timeout_ms, room)
        if more.term != batch.term:
            return more
        return EventBatch(batch.term, [*batch.pairs, *more.pairs], {**batch.offsets, **more.offsets})

    async def _poll_paused_until(self, settling: asyncio.Task[None]) -> None:
        await asyncio.wait({settling}, timeout=WRITE_PATIENCE_SECONDS)
        if settling.done():
            return
        while not settling.done():
            await self._consumer.poll_paused()
            await asyncio.wait({settling}, timeout=WRITE_PATIENCE_SECONDS)
        self._consumer.resume()

    async def _settle(self, batch: EventBatch) -> None:
        """Write and commit. A batch of an earlier term is delivered again to the owner of its partitions."""
        if batch.term == self._consumer.term:
            await self._write(batch.pairs)
            await self._commit(batch)

    async def _before_revocation(self) -> None:
        """Give the batch that is being written a while to be committed. Later it is not committed any more."""
        if self._settling:
            await asyncio.wait({self._settling}, timeout=MAX_REVOCATION_SECONDS)
        if self._committing:
            self._committing.cancel()

    async def _write(self, pairs: Sequence[Pair]) -> None:
        """Write events and dead letters. A value that the database cannot hold is found by halving the batch."""
        events = [item for _, item in pairs if not isinstance(item, DeadLetter)]
        try:
            await self._aggregate.apply(events)
        except UnstorableError:
            await self._write_halves(pairs)
            return
        self._listener.notify_written({str(event.conversation) for event in events})
        await self._dead_letters.publish([item for _, item in pairs if isinstance(item, DeadLetter)])
        for kind, number in Counter(event.kind for event in events).items():
            self._metrics.events[kind].inc(number)

    async def _write_halves(self, pairs: Sequence[Pair]) -> None:
        if len(pairs) > 1:
            middle = len(pairs) // 2
            await self._write(pairs[:middle])
            await self._write(pairs[middle:])
            return
        ((record, _),) = pairs
        letter = dead_letter(record, Reason.NOT_AN_EVENT, "a value that the database cannot hold", self._clock())
        await self._dead_letters.publish([letter])

    async def _commit(self, batch: EventBatch) -> None:
        """Commit. A refusal means that another instance has the partitions and reads the records again."""
        if batch.term != self._consumer.term:
            log.info("commit_refused", error="the partitions were taken away")
            return
        self._committing = committing = asyncio.ensure_future(self._consumer.commit(batch.offsets))
        try:
            await asyncio.wait({committing})
        finally:
            committing.cancel()
        try:
            await committing
        except (CommitFailedError, IllegalStateError, asyncio.CancelledError) as error:
            log.info("commit_refused", error=type(error).__name__)
