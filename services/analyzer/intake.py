"""From the topic to the store. Commit is the last step of a batch, and no model call ever comes before it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from services.analyzer.aggregate import Aggregate
from services.analyzer.decode import RawRecord, dead_letter, decode
from services.analyzer.holding import hold
from shared.clock import Clock
from shared.deadletters import DeadLetter, dead_letter_headers, dump_dead_letter
from shared.events import Event
from shared.failures import Reason
from shared.kafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    Record,
    TopicPartition,
    Topics,
    publish,
)
from shared.metrics import AnalyzerMetrics
from shared.mongo import UnstorableError, is_storable

POLL_MS = 200
BATCH_RECORDS = 500

log = structlog.get_logger()


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
        await hold(lambda: publish(self._producer, records), KafkaError)
        for letter in letters:
            self._metrics.parked.labels(letter.reason).inc()
            log.warning("parked", reason=letter.reason, detail=letter.detail, letter_id=letter.letter_id)


class Intake:
    """`changed` is set after every batch, so that what is due at once need not wait for the next look at the queue."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        aggregate: Aggregate,
        parking: Parking,
        changed: asyncio.Event,
        clock: Clock,
        metrics: AnalyzerMetrics,
    ) -> None:
        self._consumer = consumer
        self._aggregate = aggregate
        self._parking = parking
        self._changed = changed
        self._clock = clock
        self._metrics = metrics

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. What was polled and not committed is delivered again, here or to another instance."""
        while not stop.is_set():
            polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
            if polled:
                await self.take([record for batch in polled.values() for record in batch])
                await self._commit({partition: batch[-1].offset + 1 for partition, batch in polled.items()})

    async def take(self, records: Sequence[RawRecord]) -> None:
        """Returns when all of it is in the store or on the DLQ."""
        decoded = [decode(record, self._clock()) for record in records]
        try:
            await self._put(decoded)
        except UnstorableError:
            await self._put([self._storable(*pair) for pair in zip(records, decoded, strict=True)])
        self._changed.set()

    async def _put(self, decoded: Sequence[Event | DeadLetter]) -> None:
        events = [item for item in decoded if not isinstance(item, DeadLetter)]
        await self._aggregate.apply(events)
        await self._parking.park([item for item in decoded if isinstance(item, DeadLetter)])
        for event in events:
            self._metrics.events.labels(event.kind).inc()

    def _storable(self, record: RawRecord, item: Event | DeadLetter) -> Event | DeadLetter:
        if isinstance(item, DeadLetter) or is_storable(item.model_dump()):
            return item
        return dead_letter(record, Reason.NOT_AN_EVENT, "a value that the database cannot hold", self._clock())

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        """A refused commit means that the partitions have gone to another instance, which reads them again."""
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("commit_refused", error=type(error).__name__)
