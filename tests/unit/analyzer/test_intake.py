"""The commit comes last: after the events are written and the dead letters acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from services.analyzer.intake import event_intake as intake
from services.analyzer.intake.aggregate import Aggregate
from services.analyzer.intake.event_intake import DeadLetterPublisher, EventIntake
from shared.bus.consumer import Consumer
from shared.bus.producer import CommitFailedError, TopicPartition
from shared.contract.dead_letters import DeadLetter
from shared.contract.events import Attachment, Event
from shared.runtime.metrics import AnalyzerMetrics
from shared.store.mongo import UnstorableError, is_storable
from tests.support.making import EPOCH, said
from tests.support.models import dump_event


@dataclass(frozen=True)
class Polled:
    value: bytes
    offset: int
    key: bytes | None = None


@dataclass
class FakeConsumer:
    """One batch a poll that waits for one, then `stop`; `late` is what polls give that do not wait for more."""

    batches: list[dict[TopicPartition, list[Polled]]]
    stop: asyncio.Event
    steps: list[Any]
    refuses: bool = False
    term: int = 1
    before_revocation: Callable[[], Awaitable[None]] | None = None
    polls: int = 0
    late: list[dict[TopicPartition, list[Polled]]] = field(default_factory=list)
    rooms: list[int] = field(default_factory=list)
    before_late: Callable[[int], Awaitable[None]] = field(default=lambda _: at_once())

    async def poll_paused(self) -> None:
        self.steps.append("still")

    def resume(self) -> None:
        self.steps.append("on")

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Polled]]:
        assert max_records > 0
        if timeout_ms < intake.POLL_MS:
            await self.before_late(len(self.rooms))
            self.rooms.append(max_records)
            return self.late.pop(0) if self.late else {}
        self.polls += 1
        if not self.batches:
            self.stop.set()
            return {}
        return self.batches.pop(0)

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.steps.append(("commit", offsets))
        if self.refuses:
            raise CommitFailedError


async def at_once() -> None:
    pass


@dataclass
class FakeAggregate:
    steps: list[Any]
    during: Callable[[], Awaitable[None]]

    async def apply(self, events: Sequence[Event]) -> None:
        await self.during()
        if not all(is_storable(event.model_dump()) for event in events):
            raise UnstorableError
        self.steps.append(("write", list(events)))


@dataclass
class FakeDeadLetterPublisher:
    steps: list[Any]
    is_away: bool = False

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        if self.is_away:
            raise ConnectionError
        self.steps.append(("park", [letter.payload for letter in letters]))


@dataclass
class Rig:
    batches: list[dict[TopicPartition, list[Polled]]]
    steps: list[Any] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: set[str] = field(default_factory=set)
    refuses: bool = False
    dlq_is_away: bool = False
    during: Callable[[], Awaitable[None]] = at_once
    worked_off: Callable[[], Awaitable[None]] = at_once

    def __post_init__(self) -> None:
        self.consumer = FakeConsumer(self.batches, self.stop, self.steps, self.refuses)

    async def run(self) -> None:
        consumer = cast("Consumer", self.consumer)
        aggregate = cast("Aggregate", FakeAggregate(self.steps, self.during))
        parking = cast("DeadLetterPublisher", FakeDeadLetterPublisher(self.steps, self.dlq_is_away))
        await EventIntake(consumer, aggregate, parking, self, lambda: EPOCH, AnalyzerMetrics()).run(self.stop)

    def notify_written(self, keys: Iterable[str]) -> None:
        self.arrived |= set(keys)

    async def until_idle(self) -> None:
        await self.worked_off()

    async def rested(self) -> None:
        await asyncio.sleep(0)
        self.steps.append(("rested", []))


PARTITION, OTHER = (TopicPartition("message-events", number) for number in range(2))
GOOD = dump_event(said("How much?", 0))


async def test_a_batch_is_written_then_its_dead_letters_then_committed() -> None:
    rig = Rig([{PARTITION: [Polled(GOOD, 4), Polled(b"junk", 5)]}])
    await rig.run()
    assert rig.steps == [("write", [said("How much?", 0)]), ("park", ["junk"]), ("commit", {PARTITION: 6})]
    assert rig.arrived == {str(said("How much?", 0).conversation)}


async def test_a_dead_letter_queue_that_is_away_stops_the_commit() -> None:
    rig = Rig([{PARTITION: [Polled(b"junk", 5)]}], dlq_is_away=True)
    with pytest.raises(ConnectionError):
        await rig.run()
    assert ("commit", {PARTITION: 6}) not in rig.steps


async def test_a_refused_commit_does_not_stop_the_intake() -> None:
    rig = Rig([{PARTITION: [Polled(GOOD, 0)]}, {PARTITION: [Polled(GOOD, 1)]}], refuses=True)
    await rig.run()
    assert [step for step, _ in rig.steps].count("write") == 2


async def test_a_value_that_the_database_cannot_hold_does_not_block_its_batch() -> None:
    huge = said(None, 1, attachments=(Attachment(type="file", payload={"id": 2**63}),))
    zero = said(None, 2, attachments=(Attachment(type="file", payload={"a\0b": 1}),))
    records = [Polled(dump_event(huge), 0), Polled(GOOD, 1), Polled(dump_event(zero), 2)]
    rig = Rig([{PARTITION: records}])
    await rig.run()
    assert ("write", [said("How much?", 0)]) in rig.steps
    parked = [payload for step, payloads in rig.steps if step == "park" for payload in payloads]
    assert parked == [dump_event(huge).decode(), dump_event(zero).decode()]
    assert rig.steps[-1] == ("commit", {PARTITION: 3})


async def test_a_slow_write_pauses_polling_with_one_batch_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "WRITE_PATIENCE_SECONDS", 0)
    polled_before: list[int] = []

    async def until_told_thrice() -> None:
        while not polled_before and rig.steps.count("still") < 3:
            await asyncio.sleep(0)
        polled_before.append(rig.consumer.polls)

    rig = Rig([{PARTITION: [Polled(GOOD, offset)]} for offset in range(3)], during=until_told_thrice)
    await rig.run()
    assert polled_before[0] == 2, "the batch that is written, and the next"
    assert rig.steps.index("on") > rig.steps.index("still")
    assert ("commit", {PARTITION: 3}) in rig.steps


async def test_records_that_arrive_during_a_write_join_the_next_batch() -> None:
    rig = Rig([{PARTITION: [Polled(GOOD, 0)]}, {PARTITION: [Polled(GOOD, 1)]}])
    first = {PARTITION: [Polled(GOOD, 2)], OTHER: [Polled(GOOD, 7)]}
    rig.consumer.late = [first, {OTHER: [Polled(GOOD, 8)]}, {OTHER: [Polled(GOOD, 9)]}]
    await rig.run()
    assert [len(told) for step, told in rig.steps if step == "write"] == [1, 5]
    assert rig.steps[-1] == ("commit", {PARTITION: 3, OTHER: 10})
    assert rig.consumer.rooms == [intake.BATCH_RECORDS - number for number in (1, 3, 4)]


async def test_a_full_batch_is_not_added_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BATCH_RECORDS", 1)
    rig = Rig([{PARTITION: [Polled(GOOD, 0)]}, {PARTITION: [Polled(GOOD, 1)]}])
    rig.worked_off = rig.rested
    await rig.run()
    assert rig.consumer.rooms == []
    assert [step for step, _ in rig.steps if step != "park"] == ["write", "commit", "write", "commit"]


async def test_a_batch_that_is_full_does_not_wait_for_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BATCH_RECORDS", 2)
    rig = Rig([{PARTITION: [Polled(GOOD, 0)]}, {PARTITION: [Polled(GOOD, 1)]}])
    rig.consumer.late = [{PARTITION: [Polled(GOOD, 2)]}]
    rig.worked_off = rig.rested
    await rig.run()
    assert rig.consumer.rooms == [1]
    assert [step for step, _ in rig.steps if step != "park"] == ["write", "commit", "write", "commit"]


@pytest.mark.parametrize("passing", [0, 1, 2])
async def test_a_batch_whose_partitions_are_revoked_while_it_waits_is_not_written(passing: int) -> None:
    async def take_away(number: int) -> None:
        if number == passing:
            rig.consumer.term += 1

    rig = Rig([{PARTITION: [Polled(GOOD, 0)]}, {PARTITION: [Polled(GOOD, 1)]}])
    rig.consumer.late = [{OTHER: [Polled(GOOD, 7 + number)]} for number in range(3)]
    rig.consumer.before_late = take_away
    await rig.run()
    assert rig.steps[-1] == ("commit", {OTHER: 10})
    assert [len(told) for step, told in rig.steps if step == "write"] == [1, 3 - passing]


async def test_a_batch_waits_until_the_pool_is_idle() -> None:
    async def arrives_meanwhile() -> None:
        await rig.rested()
        rig.consumer.late = [{PARTITION: [Polled(GOOD, 2)]}]

    rig = Rig([{PARTITION: [Polled(GOOD, 0)]}, {PARTITION: [Polled(GOOD, 1)]}])
    rig.worked_off = arrives_meanwhile
    await rig.run()
    assert [step for step, _ in rig.steps if step != "park"] == ["write", "commit", "rested", "write", "commit"]
    assert [len(told) for step, told in rig.steps if step == "write"] == [1, 2]


async def test_a_batch_does_not_wait_long_for_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_IDLE_WAIT_SECONDS", 0.01)
    rig = Rig([{PARTITION: [Polled(GOOD, 0)]}, {PARTITION: [Polled(GOOD, 1)]}], worked_off=forever)
    async with asyncio.timeout(10):
        await rig.run()
    assert rig.steps[-1] == ("commit", {PARTITION: 2})


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_batch_polled_before_a_revocation_is_neither_written_nor_committed() -> None:
    async def take_away() -> None:
        while rig.consumer.polls < 2:
            await asyncio.sleep(0)
        rig.consumer.term = 2

    rig = Rig([{PARTITION: [Polled(GOOD, 0)]}, {PARTITION: [Polled(GOOD, 1)]}], during=take_away)
    await rig.run()
    assert [step for step, _ in rig.steps if step != "park"] == ["write"]


async def test_a_revocation_waits_only_for_the_current_commit() -> None:
    order: list[str] = []

    async def lose_them_meanwhile() -> None:
        assert rig.consumer.before_revocation is not None
        going = asyncio.ensure_future(rig.consumer.before_revocation())
        going.add_done_callback(lambda _: order.extend(str(step[0]) for step in rig.steps))
        await asyncio.sleep(0)

    rig = Rig([{PARTITION: [Polled(GOOD, 0)]}], during=lose_them_meanwhile)
    await rig.run()
    await asyncio.sleep(0)
    assert order == ["write", "park", "commit"]
