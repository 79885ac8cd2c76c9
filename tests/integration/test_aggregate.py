"""Batches in any size, order and repetition leave the fold of their events in a real database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.analyzer.intake.aggregate import Aggregate
from shared.contract.events import Attachment, Event
from shared.domain.messages import fold_all
from shared.store.conversation_updates import Timing, mark_pending, new_pending
from shared.store.erasures import Erasures
from shared.store.mongo import Database, UnstorableError, UpdateOne, write_all
from tests.support.facts import events
from tests.support.making import MARIA, at, completed, listed, said
from tests.support.outcome import customers, messages, story

TIMING = Timing(quiet_ms=2_000, max_wait_ms=9_000, hold_ms=60_000)
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)

few_real_writes = settings(
    max_examples=settings().max_examples // 4,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def in_batches(told: Sequence[Event]) -> st.SearchStrategy[list[list[Event]]]:
    """`told` in any order, some of it again, cut anywhere."""
    again = st.lists(st.sampled_from(told), max_size=4)
    shuffled = again.flatmap(lambda more: st.permutations([*told, *more]))
    cuts = st.lists(st.integers(0, len(told) + 4), max_size=4).map(sorted)
    return st.tuples(shuffled, cuts).map(
        lambda case: [case[0][start:end] for start, end in zip([0, *case[1]], [*case[1], None], strict=True)]
    )


@few_real_writes
@given(data=st.data(), told=st.lists(events, min_size=1, max_size=8))
async def test_any_order_repetition_and_batching_gives_the_fold(
    database: Database, data: st.DataObject, told: list[Event]
) -> None:
    await database.messages.delete_many({})
    await database.conversations.delete_many({})
    shared = Aggregate(database, TIMING, Erasures(database))
    for batch in data.draw(in_batches(told)):
        one_of_two = data.draw(st.sampled_from([shared, Aggregate(database, TIMING, Erasures(database))]))
        await one_of_two.apply(batch)
    assert await messages(database) == fold_all(told)
    assert [each["_id"] async for each in database.conversations.find({"due_at": {"$exists": True}})] == [
        str(told[0].conversation)
    ]


@few_real_writes
@given(told=st.lists(events, min_size=1, max_size=6))
async def test_an_inserted_conversation_equals_an_upserted_one(database: Database, told: list[Event]) -> None:
    await database.conversations.delete_many({})
    await write_all(database.conversations, [UpdateOne({"_id": "any"}, mark_pending(told, TIMING, NOW), upsert=True)])
    assert await database.conversations.find_one({}) == {"_id": "any", **new_pending(told, TIMING, NOW)}


@pytest.fixture
def aggregate(database: Database) -> Aggregate:
    return Aggregate(database, TIMING, Erasures(database))


async def conversation(database: Database) -> dict[str, Any]:
    found = await database.conversations.find_one({"_id": str(MARIA)})
    assert found is not None
    return dict(found)


async def test_events_from_before_an_erasure_are_dropped(database: Database, aggregate: Aggregate) -> None:
    someone_else = customers(1)[0]
    after = await Erasures(database).remember(str(MARIA)) + timedelta(seconds=5)
    history = [listed(0).model_copy(update={"updated_time": at(60), "occurred_at": after}), *story(MARIA)]
    kept = story(someone_else)
    await aggregate.apply([*history, *kept, completed(90).model_copy(update={"updated_time": at(60)})])
    assert await messages(database) == fold_all(kept)
    assert await database.conversations.distinct("_id") == [str(someone_else)]
    back = said("Hello again", 0).model_copy(update={"occurred_at": after})
    await aggregate.apply([*history, back])
    assert await messages(database) == fold_all([*kept, back])
    assert "participants" not in await conversation(database)


async def test_a_conversation_that_was_removed_is_inserted_again(database: Database, aggregate: Aggregate) -> None:
    await aggregate.apply([said("How much?", 0)])
    await database.conversations.delete_many({})
    await aggregate.apply([said("Deal", 9)])
    assert (await conversation(database))["customer_id"] == MARIA.customer_id


@pytest.mark.parametrize("payload", [{"id": 2**63}, {"a\0b": 1}])
async def test_a_value_that_the_database_cannot_hold_is_reported(aggregate: Aggregate, payload: dict[str, Any]) -> None:
    unstorable = said(None, 0, attachments=(Attachment(type="file", payload=payload),))
    with pytest.raises(UnstorableError):
        await aggregate.apply([said("How much?", 1), unstorable])
