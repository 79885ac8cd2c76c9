"""The intake in its group: members come and go under load, and nothing is lost, skipped or waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from services.analyzer.intake.aggregate import Aggregate
from services.analyzer.intake.event_intake import DeadLetterPublisher, EventIntake
from shared.bus.connection import KafkaConnection
from shared.bus.consumer import Consumer, OffsetsGoneError, open_consumer
from shared.bus.producer import TopicPartition
from shared.contract.events import Event
from shared.runtime.clock import utc_now
from shared.runtime.metrics import AnalyzerMetrics
from shared.store.mongo import Database
from tests.conftest import Stack
from tests.support.idle_pool import IdlePool
from tests.support.intakes import Intakes, intakes
from tests.support.making import said
from tests.support.offsets import Offsets, all_is_committed, committed, ends
from tests.support.outcome import customers, story
from tests.support.topics import publish_events
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def _real_broker(stack: Stack) -> None:
    if stack.servers.kind == "embedded":
        pytest.skip("the mock broker answers a second member of a group with InvalidRequest now and then")


@pytest.fixture
def group(stack: Stack, tmp_path: Path) -> Iterator[Intakes]:
    with intakes(stack, tmp_path) as started:
        yield started


class NoDeadLetters:
    async def publish(self, letters: Sequence[object]) -> None:
        assert not letters


class KeyBreaker:
    """An aggregate that writes nothing, and only when it is let."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()

    async def apply(self, events: Sequence[Event]) -> None:
        self.entered.set()
        await self.open.wait()


def member(stack: Stack, instance: str | None = None) -> AbstractAsyncContextManager[Consumer]:
    return open_consumer(stack.kafka, stack.topics.message_events, group_name(stack), instance=instance)


def group_name(stack: Stack) -> str:
    return f"{stack.topic_prefix}analyzer"


async def done(stack: Stack) -> Offsets:
    return await committed(stack.kafka, stack.topics.message_events, group_name(stack))


def one_each(number: int) -> list[Event]:
    """One message of each of several customers, so that every partition has some."""
    return [said("How much?", 0, mid=f"m_{n}", who=who) for n, who in enumerate(customers(number))]


def intake(consumer: Consumer, gate: KeyBreaker) -> EventIntake:
    aggregate, parking = cast("Aggregate", gate), cast("DeadLetterPublisher", NoDeadLetters())
    return EventIntake(consumer, aggregate, parking, IdlePool(), utc_now, AnalyzerMetrics())


@asynccontextmanager
async def running(consumer: Consumer, gate: KeyBreaker) -> AsyncIterator[None]:
    task = asyncio.create_task(intake(consumer, gate).run(asyncio.Event()))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_nothing_is_lost_when_members_come_and_go_under_load(
    group: Intakes, database: Database, stack: Stack
) -> None:
    events = [event for who in customers(60) for event in story(who)]
    parts = [events[start : start + 120] for start in range(0, len(events), 120)]
    first = group.start()
    await group.publish(parts[0])
    await eventually(lambda: done(stack), len)
    second = group.start()
    await group.publish(parts[1])
    await asyncio.to_thread(second.wait_for, "intake_started")
    await group.publish(parts[2])
    assert await asyncio.to_thread(first.terminate) == 0
    group.start()
    for part in parts[3:]:
        await group.publish(part)
    await group.all_is_committed()
    await group.assert_all_is_stored(database, events)


async def test_a_batch_in_flight_is_committed_before_a_revocation(stack: Stack) -> None:
    await publish_events(stack.kafka, stack.topics.message_events, one_each(20))
    gate, revoking = KeyBreaker(), asyncio.Event()
    async with member(stack) as consumer, running(consumer, gate):
        await gate.entered.wait()
        give_up = consumer.before_revocation
        assert give_up is not None

        async def tell_and_give_up() -> None:
            revoking.set()
            await give_up()

        consumer.before_revocation = tell_and_give_up
        async with asyncio.TaskGroup() as together:
            joining = together.create_task(joined(stack))
            await revoking.wait()
            assert not joining.done(), "the group waits for what is being written"
            gate.open.set()
        assert joining.result() == {}, "what was committed is nobody's to read again"
    assert await done(stack) == await ends(stack.kafka, stack.topics.message_events)


async def joined(stack: Stack) -> dict[TopicPartition, list[object]]:
    """What a second member gets to read first."""
    async with member(stack) as second:
        return await second.getmany(timeout_ms=500)


async def test_a_batch_written_after_a_revocation_is_not_committed(stack: Stack) -> None:
    await publish_events(stack.kafka, stack.topics.message_events, one_each(20))
    gate = KeyBreaker()
    async with member(stack) as consumer, running(consumer, gate):
        await gate.entered.wait()
        async with member(stack) as second:
            polled = await eventually(lambda: second.getmany(timeout_ms=200), len)
            assert not gate.open.is_set(), "the rebalance did not wait for the write to end"
            (theirs,) = polled
            gate.open.set()
            expected = await ends(stack.kafka, stack.topics.message_events)
            mine = {partition: end for partition, end in expected.items() if partition != theirs}
            assert await eventually(lambda: done(stack), lambda found: found == mine)


async def test_a_static_member_that_restarts_soon_keeps_its_partitions(stack: Stack) -> None:
    async with member(stack, "other") as other:
        async with member(stack, "one"):
            term = other.term
        async with member(stack, "one") as back:
            await publish_events(stack.kafka, stack.topics.message_events, one_each(20))
            assert len(await eventually(lambda: back.getmany(timeout_ms=200), len)) == 1
        assert other.term == term


async def test_unread_records_that_were_deleted_stop_the_intake(stack: Stack) -> None:
    topic = stack.topics.message_events
    await publish_events(stack.kafka, topic, one_each(20))
    gate = KeyBreaker()
    gate.open.set()
    async with member(stack) as consumer, running(consumer, gate):
        await all_is_committed(stack.kafka, topic, group_name(stack))
    await publish_events(stack.kafka, topic, one_each(20))
    await delete_all(stack.kafka, topic)
    await publish_events(stack.kafka, topic, one_each(20))
    before = await done(stack)
    async with member(stack) as consumer, asyncio.timeout(30):
        with pytest.raises(OffsetsGoneError, match="--reset-offsets --to-earliest"):
            await intake(consumer, gate).run(asyncio.Event())
    assert await done(stack) == before, "nothing was skipped"


async def delete_all(kafka: KafkaConnection, topic: str) -> None:
    """As retention does it to what is too old."""
    admin = AIOKafkaAdminClient(**kafka.options)
    await admin.start()
    try:
        until = await ends(kafka, topic)
        await admin.delete_records({place: RecordsToDelete(before_offset=end) for place, end in until.items()})
    finally:
        await admin.close()
