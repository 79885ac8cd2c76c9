"""Commit comes last: after the write, and after what could not be understood is safe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from services.analyzer.aggregate import Aggregate
from services.analyzer.intake import Intake, Parking
from shared.deadletters import DeadLetter
from shared.events import Attachment, Event
from shared.kafka import CommitFailedError, Consumer, TopicPartition
from shared.metrics import AnalyzerMetrics
from shared.mongo import UnstorableError, is_storable
from tests.support.making import EPOCH, said
from tests.support.models import dump_event


@dataclass(frozen=True)
class Polled:
    value: bytes
    offset: int
    key: bytes | None = None


@dataclass
class FakeConsumer:
    """One batch a poll, then `stop`."""

    batches: list[dict[TopicPartition, list[Polled]]]
    stop: asyncio.Event
    steps: list[Any]
    refuses: bool = False
    term: int = 1
    before_revocation: Callable[[], Awaitable[None]] | None = None

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Polled]]:
        if not self.batches:
            self.stop.set()
            return {}
        return self.batches.pop(0)

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.steps.append(("commit", offsets))
        if self.refuses:
            raise CommitFailedError


@dataclass
class FakeAggregate:
    steps: list[Any]

    async def apply(self, events: Sequence[Event]) -> None:
        if not all(is_storable(event.model_dump()) for event in events):
            raise UnstorableError
        self.steps.append(("write", list(events)))


@dataclass
class FakeParking:
    steps: list[Any]
    is_away: bool = False

    async def park(self, letters: Sequence[DeadLetter]) -> None:
        if self.is_away:
            raise ConnectionError
        self.steps.append(("park", [letter.payload for letter in letters]))


@dataclass
class Rig:
    batches: list[dict[TopicPartition, list[Polled]]]
    steps: list[Any] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    refuses: bool = False
    dlq_is_away: bool = False

    async def run(self) -> None:
        consumer = cast("Consumer", FakeConsumer(self.batches, self.stop, self.steps, self.refuses))
        aggregate = cast("Aggregate", FakeAggregate(self.steps))
        parking = cast("Parking", FakeParking(self.steps, self.dlq_is_away))
        await Intake(consumer, aggregate, parking, self.changed, lambda: EPOCH, AnalyzerMetrics()).run(self.stop)


PARTITION = TopicPartition("message-events", 0)
GOOD = dump_event(said("How much?", 0))


async def test_a_batch_is_written_then_parked_then_committed() -> None:
    rig = Rig([{PARTITION: [Polled(GOOD, 4), Polled(b"junk", 5)]}])
    await rig.run()
    assert rig.steps == [("write", [said("How much?", 0)]), ("park", ["junk"]), ("commit", {PARTITION: 6})]
    assert rig.changed.is_set()


async def test_a_dlq_that_cannot_be_written_stops_the_commit() -> None:
    rig = Rig([{PARTITION: [Polled(b"junk", 5)]}], dlq_is_away=True)
    with pytest.raises(ConnectionError):
        await rig.run()
    assert ("commit", {PARTITION: 6}) not in rig.steps


async def test_a_refused_commit_is_another_instances_matter() -> None:
    rig = Rig([{PARTITION: [Polled(GOOD, 0)]}, {PARTITION: [Polled(GOOD, 1)]}], refuses=True)
    await rig.run()
    assert [step for step, _ in rig.steps].count("write") == 2


async def test_a_value_that_the_database_cannot_hold_does_not_take_its_batch_along() -> None:
    huge = said(None, 1, attachments=(Attachment(type="file", payload={"id": 2**63}),))
    zero = said(None, 2, attachments=(Attachment(type="file", payload={"a\0b": 1}),))
    records = [Polled(dump_event(huge), 0), Polled(GOOD, 1), Polled(dump_event(zero), 2)]
    rig = Rig([{PARTITION: records}])
    await rig.run()
    assert ("write", [said("How much?", 0)]) in rig.steps
    parked = [payload for step, payloads in rig.steps if step == "park" for payload in payloads]
    assert parked == [dump_event(huge).decode(), dump_event(zero).decode()]
    assert rig.steps[-1] == ("commit", {PARTITION: 3})
