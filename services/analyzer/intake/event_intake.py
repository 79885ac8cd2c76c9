"""From the topic to the store. Commit is the last step of a batch, and no model call ever comes before it.

While a batch is written the next is polled and decoded, and what has arrived by the end of that goes with it: one
batch, never more. When the store takes its time the partitions are paused; the group keeps this member all the while,
for its heartbeats go on.

A batch that is not full waits until what is due is worked off, but not for long. A database that is asked for
everything at once takes several times as long for each, which is more than the wait costs: at 200 events a second a
webhook was 115 ms from its contact without, and 55 with it.
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

POLL_MS, FRESH_MS = 200, 5
"""How long something is waited for, and how long what has arrived since may take to be fetched."""
REST_SECONDS = 0.05
"""For how long a batch waits at the most for what is due."""
BATCH_RECORDS = 1000
MAX_PAUSE_SECONDS = 1.0
"""How long a batch may be in the writing before the partitions are paused; then how often the group is told."""
REVOCATION_SECONDS = 2.0
"""How long a rebalance waits for the batch that is being written, so that it need not be written again elsewhere."""

log = structlog.get_logger()

Pair = tuple[RawRecord, Event | DeadLetter]


class Parking:
    """Puts dead letters on the DLQ; holds until it takes them."""

    def __init__(self, producer: AIOKafkaProducer, topics: Topics, metrics: AnalyzerMetrics) -> None:
        self._producer = producer
        self._topic = topics.dead_letters
        self._metrics = metrics

    async def park(self, letters: Sequence[DeadLetter]) -> None:
        records = [
            Record(self._topic, letter.letter_id.encode(), dump_dead_letter(letter), dead_letter_headers(letter))
            for letter in letters
        ]
        await retry_until_stopped(lambda: publish(self._producer, records), KafkaError)
        for letter in letters:
            self._metrics.parked.labels(letter.reason).inc()
            log.warning("parked", reason=letter.reason, detail=letter.detail, letter_id=letter.letter_id)


class Follower(Protocol):
    """Works on what is written."""

    def notify_written(self, keys: Iterable[str]) -> None: ...

    async def until_idle(self) -> None:
        """Returns when nothing of it is left to be done that can be done now."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What polls gave, decoded, and where each partition goes on after it. It counts in its `term` only."""

    term: int = 0
    pairs: Sequence[Pair] = ()
    offsets: dict[TopicPartition, int] = field(default_factory=dict)


class Intake:
    """`follower` is told the conversations of every batch that is written."""

    def __init__(
        self,
        consumer: Consumer,
        aggregate: Aggregate,
        parking: Parking,
        follower: Follower,
        clock: Clock,
        metrics: AnalyzerMetrics,
    ) -> None:
        self._consumer = consumer
        self._aggregate = aggregate
        self._parking = parking
        self._follower = follower
        self._clock = clock
        self._metrics = metrics
        self._settling: asyncio.Task[None] | None = None
        self._committing: asyncio.Task[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. What was polled and not committed is delivered again, here or to another instance.

        OffsetsGoneError when what was to be read next was deleted.
        """
        self._consumer.before_revocation = self._give_up
        batch = Batch()
        try:
            while not stop.is_set():
                batch = await self._settle_and_poll(batch) if batch.pairs else await self._poll(POLL_MS, BATCH_RECORDS)
        except OffsetsGoneError as error:
            log.critical("offsets_gone", advice=str(error))
            raise

    async def _poll(self, timeout_ms: int, most: int) -> Batch:
        """The term is read with nothing awaited in between: what was polled is of the assignment that is now."""
        polled = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=most)
        term = self._consumer.term
        pairs = self._decode([record for records in polled.values() for record in records])
        return Batch(term, pairs, {partition: records[-1].offset + 1 for partition, records in polled.items()})

    def _decode(self, records: Sequence[RawRecord]) -> list[Pair]:
        now = self._clock()
        return [(record, decode(record, now)) for record in records]

    async def _settle_and_poll(self, batch: Batch) -> Batch:
        """Returns the next batch when this one is committed, or is another instance's."""
        self._settling = asyncio.create_task(self._settle(batch))
        try:
            ahead = await self._poll(POLL_MS, BATCH_RECORDS)
            await self._keep_still_until(self._settling)
            await self._settling
        finally:
            self._settling.cancel()
            await asyncio.wait({self._settling})
        return await self._rested(ahead) if ahead.pairs else ahead

    async def _rested(self, batch: Batch) -> Batch:
        """With what has arrived by the end of the rest, which would wait for all of its writing else: what was fetched,
        and, since nothing is fetched while anything waits to be polled, what there is behind that."""
        batch = await self._topped_up(batch, 0)
        if len(batch.pairs) < BATCH_RECORDS:
            with suppress(TimeoutError):
                async with asyncio.timeout(REST_SECONDS):
                    await self._follower.until_idle()
            batch = await self._topped_up(batch, 0)
        return await self._topped_up(batch, FRESH_MS)

    async def _topped_up(self, batch: Batch, timeout_ms: int) -> Batch:
        """What is polled in a later term begins anew: the rest of it comes again to whoever has its partitions now."""
        room = BATCH_RECORDS - len(batch.pairs)
        if not room:
            return batch
        more = await self._poll(timeout_ms, room)
        if more.term != batch.term:
            return more
        return Batch(batch.term, [*batch.pairs, *more.pairs], {**batch.offsets, **more.offsets})

    async def _keep_still_until(self, settling: asyncio.Task[None]) -> None:
        await asyncio.wait({settling}, timeout=MAX_PAUSE_SECONDS)
        if settling.done():
            return
        while not settling.done():
            await self._consumer.poll_paused()
            await asyncio.wait({settling}, timeout=MAX_PAUSE_SECONDS)
        self._consumer.resume()

    async def _settle(self, batch: Batch) -> None:
        """A batch of an earlier term comes again to whoever has its partitions now."""
        if batch.term == self._consumer.term:
            await self._put(batch.pairs)
            await self._commit(batch)

    async def _give_up(self) -> None:
        """Before the partitions go: the batch that is being written may be written and committed in good time, and is
        not committed any more after that."""
        if self._settling:
            await asyncio.wait({self._settling}, timeout=REVOCATION_SECONDS)
        if self._committing:
            self._committing.cancel()

    async def _put(self, pairs: Sequence[Pair]) -> None:
        """What the database cannot hold is told from the rest by halving."""
        events = [item for _, item in pairs if not isinstance(item, DeadLetter)]
        try:
            await self._aggregate.apply(events)
        except UnstorableError:
            await self._put_halves(pairs)
            return
        self._follower.notify_written({str(event.conversation) for event in events})
        await self._parking.park([item for _, item in pairs if isinstance(item, DeadLetter)])
        for kind, number in Counter(event.kind for event in events).items():
            self._metrics.events.labels(kind).inc(number)

    async def _put_halves(self, pairs: Sequence[Pair]) -> None:
        if len(pairs) > 1:
            middle = len(pairs) // 2
            await self._put(pairs[:middle])
            await self._put(pairs[middle:])
            return
        ((record, _),) = pairs
        letter = dead_letter(record, Reason.NOT_AN_EVENT, "a value that the database cannot hold", self._clock())
        await self._parking.park([letter])

    async def _commit(self, batch: Batch) -> None:
        """A refused commit means that the partitions have gone to another instance, which reads them again."""
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
