"""The work queue and the aggregate over a real server: due times, claims, fences."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.analyzer.aggregate import Aggregate
from services.analyzer.marks import Timing
from services.analyzer.queue import Claim, LeaseLostError, Queue
from shared.conversations import document, fold_all, from_document
from shared.events import Event, Participant, Referral, ReferralEvent, Source
from shared.ids import ConversationKey, Platform
from shared.mongo import Database, Document
from tests.support.making import EPOCH, MARIA, answered, at, completed, listed, reacted, said, unsent
from tests.support.waiting import eventually

DUE_AT_ONCE = Timing(quiet_ms=0, max_wait_ms=0, hold_ms=600_000)
JUAN = ConversationKey(Platform.INSTAGRAM, "178", "42")


async def apply(database: Database, events: Sequence[Event], timing: Timing = DUE_AT_ONCE) -> Document:
    await Aggregate(database, timing).apply(events)
    found = await database.conversations.find_one({"_id": str(events[0].conversation)})
    assert found is not None
    return found


def queue(database: Database, owner: str = "one", lease_seconds: float = 60) -> Queue:
    return Queue(database, owner, lease_seconds, DUE_AT_ONCE)


async def claim(queue: Queue) -> Claim:
    (held,) = await queue.claim(5)
    return held


async def test_what_is_stored_is_what_the_fold_gives_however_it_arrived(database: Database) -> None:
    events: list[Event] = [
        said("Hi", 0, mid="m_1"),
        answered("Hello", 1),
        reacted("m_1", 2),
        said("Oops", 3, mid="m_2"),
    ]
    events += [unsent("m_2", 4), said("Hi", 0, mid="m_1", source=Source.BACKFILL)]
    for event in (*events, *reversed(events)):
        await apply(database, [event])
    await apply(database, events)
    stored = [from_document(each) async for each in database.messages.find()]
    assert {message.message_id: message for message in stored} == fold_all(events)


async def test_two_writers_of_one_message_lose_nothing(database: Database) -> None:
    events: list[Event] = [said("Hi", 0, mid="m_1", source=source) for source in Source]
    events.append(reacted("m_1", 2))
    await asyncio.gather(*(apply(database, [event]) for event in events * 5))
    found = await database.messages.find_one({})
    assert found is not None
    assert from_document(found) == fold_all(events)[found["_id"]]
    assert found["rev"] <= len(events)


async def test_a_mark_is_made_for_what_changes_nothing(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    assert (await apply(database, [said("Hi", 0)]))["revision"] == 2


async def test_due_a_quiet_time_after_the_last_event_but_at_the_latest_after_the_longest_wait(
    database: Database,
) -> None:
    timing = Timing(quiet_ms=60_000, max_wait_ms=90_000, hold_ms=0)
    first = await apply(database, [said("Hi", 0)], timing)
    assert first["due_at"] == first["last_event_at"] + timedelta(seconds=60)
    await database.conversations.update_one(
        {}, {"$set": {"first_pending_at": first["last_event_at"] - timedelta(seconds=80)}}
    )
    later = await apply(database, [said("Hello?", 1)], timing)
    assert later["due_at"] == later["first_pending_at"] + timedelta(seconds=90)


async def test_analysis_waits_for_a_history_to_be_whole(database: Database) -> None:
    held = await apply(database, [listed(0, name="Maria"), said("Hi", 1)])
    assert held["due_at"] == held["held_until"]
    await apply(database, [said("live", 2)])
    assert not await queue(database).claim(5)
    assert "held_until" not in await apply(database, [completed(3)])
    assert await queue(database).claim(5)


async def test_a_listing_told_after_its_completion_holds_nothing_up(database: Database) -> None:
    await apply(database, [completed(3), listed(0, name="Maria"), said("Hi", 1)])
    assert "held_until" not in await apply(database, [listed(0, name="Maria")])
    assert await queue(database).claim(5)


async def test_what_a_listing_tells_is_not_erased_by_one_that_leaves_it_out(database: Database) -> None:
    await apply(database, [listed(5, name="Maria Santos")])
    older = listed(1, name="Maria Old")
    newer = listed(9).model_copy(update={"message_count": None, "thread_id": "t_2"})
    found = await apply(database, [older, newer])
    assert found["thread_id"] == "t_2"
    assert found["message_count"] == 3
    assert found["participants"][0] == {"id": MARIA.customer_id, "name": "Maria Santos"}


async def test_the_backfills_checkpoint_is_left_alone(database: Database) -> None:
    await database.conversations.insert_one({"_id": str(MARIA), "history": {"thread_id": "t_1"}})
    assert (await apply(database, [listed(0), completed(1)]))["history"] == {"thread_id": "t_1"}


async def test_texts_that_look_like_expressions_are_only_texts(database: Database) -> None:
    participant = Participant(id=MARIA.customer_id, name="$revision")
    event = listed(0).model_copy(update={"participants": (participant,), "thread_id": "$$NOW"})
    referral = ReferralEvent(referral=Referral(ref="$x", payload={"$y": 1}), **event.model_dump(include=set(KEYS)))
    found = await apply(database, [event, referral])
    assert (found["thread_id"], found["participants"][0]["name"]) == ("$$NOW", "$revision")
    assert found["referral"] == {"ref": "$x", "payload": {"$y": 1}}


KEYS = ("event_id", "platform", "account_id", "customer_id", "direction", "occurred_at", "received_at", "source")


async def test_of_many_claimants_one_has_the_conversation(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    claims = await asyncio.gather(*(queue(database, owner=str(number)).claim(5) for number in range(8)))
    assert sum(map(len, claims)) == 1


async def test_the_longest_due_comes_first(database: Database) -> None:
    for who in (MARIA, JUAN):
        await apply(database, [said("Hi", 0, who=who)])
        await asyncio.sleep(0.005)
    assert [held.contact_id for held in await queue(database).claim(1)] == [str(MARIA)]
    assert [held.contact_id for held in await queue(database).claim(1)] == [str(JUAN)]


async def test_a_lease_that_runs_out_goes_to_another_and_the_first_can_do_nothing_more(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    first = queue(database, "first", lease_seconds=0.05)
    stale = await claim(first)
    second = queue(database, "second")
    (held,) = await eventually(lambda: second.claim(5), bool)
    assert held.fence == stale.fence + 1
    with pytest.raises(LeaseLostError):
        stale.require_held()
    with pytest.raises(LeaseLostError):
        await first.keep(stale)
    await first.finish(stale)
    await first.release_all()
    assert not await queue(database, "third").claim(5)


async def test_a_lease_is_kept_while_its_worker_lives(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    first = queue(database, "first", lease_seconds=0.3)
    held = await claim(first)
    before = held.held_until
    keeping = asyncio.create_task(first.keep(held))
    try:
        until = before + 0.1

        async def renewed() -> float:
            assert not await queue(database, "second").claim(5)
            return held.held_until

        await eventually(renewed, lambda value: value > until)
    finally:
        keeping.cancel()


async def test_finished_is_off_the_queue(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    held = await claim(queue(database))
    await queue(database).finish(held)
    found = await database.conversations.find_one({})
    assert found is not None
    assert found.keys().isdisjoint({"due_at", "first_pending_at", "lease"})
    assert (await apply(database, [said("More", 1)]))["revision"] == 2
    assert (await claim(queue(database))).fence == 2


async def test_what_came_during_the_work_is_due_again_and_its_wait_starts_anew(database: Database) -> None:
    timing = Timing(quiet_ms=60_000, max_wait_ms=90_000, hold_ms=0)
    first = await apply(database, [said("Hi", 0)])
    held = await claim(queue(database))
    await apply(database, [said("More", 1)], timing)
    await Queue(database, "one", 60, timing).finish(held)
    found = await database.conversations.find_one({})
    assert found is not None
    assert "lease" not in found
    assert found["first_pending_at"] > first["first_pending_at"]
    assert found["due_at"] == found["last_event_at"] + timedelta(seconds=60)


async def test_who_ends_gives_back_what_is_begun(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    first = queue(database, "first")
    await claim(first)
    await first.release_all()
    assert await queue(database, "second").claim(5)


async def test_a_document_of_a_message_keeps_its_time_for_the_index(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    found = await database.messages.find_one({"sent_at": at(0)})
    assert found is not None
    assert found["sent_at"] == EPOCH
    assert document(from_document(found))["conversation"] == str(MARIA)
