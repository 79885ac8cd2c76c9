"""The analysis queue and the aggregate over a real database: due times, claims, fences."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.analyzer.intake.aggregate import Aggregate
from services.analyzer.queue import backlog
from services.analyzer.queue.claim_queue import Claim, ClaimQueue, LeaseLostError
from shared.contract.events import Event, Participant, Referral, ReferralEvent, Source
from shared.contract.ids import ConversationKey, Platform
from shared.domain.messages import document, fold_all, from_document
from shared.store.ai_retry_queue import AIRetryQueue
from shared.store.conversation_updates import Timing
from shared.store.conversations import Conversations
from shared.store.mongo import Database, Document, server_time
from tests.support.making import EPOCH, MARIA, answered, at, completed, listed, reacted, said, unsent
from tests.support.waiting import eventually

DUE_AT_ONCE = Timing(quiet_ms=0, max_wait_ms=0, hold_ms=600_000)
JUAN = ConversationKey(Platform.INSTAGRAM, "178", "42")


async def apply(database: Database, events: Sequence[Event], timing: Timing = DUE_AT_ONCE) -> Document:
    await Aggregate(database, timing).apply(events)
    found = await database.conversations.find_one({"_id": str(events[0].conversation)})
    assert found is not None
    return found


def queue(database: Database, owner: str = "one", lease_seconds: float = 60) -> ClaimQueue:
    return ClaimQueue(database, owner, lease_seconds, DUE_AT_ONCE)


async def claim(queue: ClaimQueue) -> Claim:
    """What is due by the server's clock is so for a queue a moment later."""
    (held,) = await eventually(lambda: queue.claim(5), bool)
    return held


async def test_stored_messages_equal_the_fold_in_any_order_of_arrival(database: Database) -> None:
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


async def test_an_event_that_changes_nothing_marks_its_conversation(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    assert (await apply(database, [said("Hi", 0)]))["revision"] == 2


async def test_a_conversation_is_due_after_the_quiet_time_or_the_maximum_wait(
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


async def test_analysis_waits_until_a_history_is_complete(database: Database) -> None:
    held = await apply(database, [listed(0, name="Maria"), said("Hi", 1)])
    assert held["due_at"] == held["held_until"]
    await apply(database, [said("live", 2)])
    assert not await queue(database).claim(5)
    assert "held_until" not in await apply(database, [completed(3)])
    assert await queue(database).claim(5)


async def test_a_listing_that_arrives_after_its_completion_holds_nothing(database: Database) -> None:
    await apply(database, [completed(3), listed(0, name="Maria"), said("Hi", 1)])
    assert "held_until" not in await apply(database, [listed(0, name="Maria")])
    assert await queue(database).claim(5)


async def test_only_a_run_that_is_not_completed_holds_a_conversation(database: Database) -> None:
    told: list[Event] = [
        completed(9, run="b"),
        listed(6, run="b"),
        completed(3, run="a"),
        listed(0, run="a"),
        said("Hi", 1),
    ]
    await apply(database, told)
    assert "held_until" not in await apply(database, [listed(6, run="b")])
    assert await queue(database).claim(5)
    assert "held_until" in await apply(database, [listed(12, run="c")])
    assert "held_until" in await apply(database, [completed(9, run="b")])
    assert "held_until" not in await apply(database, [completed(15, run="c")])


async def test_a_listing_without_a_field_keeps_the_stored_field(database: Database) -> None:
    await apply(database, [listed(5, name="Maria Santos")])
    older = listed(1, name="Maria Old")
    newer = listed(9).model_copy(update={"message_count": None, "thread_id": "t_2"})
    found = await apply(database, [older, newer])
    assert found["thread_id"] == "t_2"
    assert found["message_count"] == 3
    assert found["participants"][0] == {"id": MARIA.customer_id, "name": "Maria Santos"}


async def test_marks_leave_the_backfills_checkpoint_unchanged(database: Database) -> None:
    await database.conversations.insert_one({"_id": str(MARIA), "history": {"thread_id": "t_1"}})
    assert (await apply(database, [listed(0), completed(1)]))["history"] == {"thread_id": "t_1"}


async def test_texts_that_look_like_expressions_are_stored_literally(database: Database) -> None:
    participant = Participant(id=MARIA.customer_id, name="$revision")
    event = listed(0).model_copy(update={"participants": (participant,), "thread_id": "$$NOW"})
    referral = ReferralEvent(referral=Referral(ref="$x", payload={"$y": 1}), **event.model_dump(include=set(KEYS)))
    found = await apply(database, [event, referral])
    assert (found["thread_id"], found["participants"][0]["name"]) == ("$$NOW", "$revision")
    assert found["referral"] == {"ref": "$x", "payload": {"$y": 1}}


KEYS = ("event_id", "platform", "account_id", "customer_id", "direction", "occurred_at", "received_at", "source")


async def test_one_of_many_claimants_gets_a_conversation(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    claims = await asyncio.gather(*(queue(database, owner=str(number)).claim(5) for number in range(8)))
    assert sum(map(len, claims)) == 1


async def test_the_longest_overdue_conversation_is_claimed_first(database: Database) -> None:
    for who in (MARIA, JUAN):
        await apply(database, [said("Hi", 0, who=who)])
        await asyncio.sleep(0.005)
    assert [held.contact_id for held in await queue(database).claim(1)] == [str(MARIA)]
    assert [held.contact_id for held in await queue(database).claim(1)] == [str(JUAN)]


async def test_a_worker_whose_lease_was_taken_over_can_change_nothing(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    first = queue(database, "first", lease_seconds=0.05)
    stale = await claim(first)
    second = queue(database, "second")
    (held,) = await eventually(lambda: second.claim(5), bool)
    assert held.fence == stale.fence + 1
    with pytest.raises(LeaseLostError):
        stale.require_held()
    with pytest.raises(LeaseLostError):
        await first.renew_until_cancelled(stale)
    await first.finish_all([stale])
    await first.release_all()
    assert not await queue(database, "third").claim(5)


async def test_a_lease_is_renewed_while_its_worker_lives(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    first = queue(database, "first", lease_seconds=3)  # a busy machine may stall this process for a second
    held = await claim(first)
    before = held.held_until
    keeping = asyncio.create_task(first.renew_until_cancelled(held))
    try:
        until = before + 0.1

        async def renewed() -> float:
            assert not await queue(database, "second").claim(5)
            return held.held_until

        await eventually(renewed, lambda value: value > until)
    finally:
        keeping.cancel()


async def test_a_finished_conversation_is_off_the_queue(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    held = await claim(queue(database))
    await queue(database).finish_all([held])
    found = await database.conversations.find_one({})
    assert found is not None
    assert found.keys().isdisjoint({"due_at", "first_pending_at", "lease"})
    assert (await apply(database, [said("More", 1)]))["revision"] == 2
    assert (await claim(queue(database))).fence == 2


async def test_events_during_an_analysis_make_the_conversation_due_again(database: Database) -> None:
    timing = Timing(quiet_ms=60_000, max_wait_ms=90_000, hold_ms=0)
    first = await apply(database, [said("Hi", 0)])
    held = await claim(queue(database))
    await apply(database, [said("More", 1)], timing)
    await ClaimQueue(database, "one", 60, timing).finish_all([held])
    found = await database.conversations.find_one({})
    assert found is not None
    assert "lease" not in found
    assert found["first_pending_at"] > first["first_pending_at"]
    assert found["due_at"] == found["last_event_at"] + timedelta(seconds=60)


async def test_a_process_that_ends_releases_its_claims(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    first = queue(database, "first")
    await claim(first)
    await first.release_all()
    assert (await claim(queue(database, "second"))).contact_id == str(MARIA)


async def test_a_claim_reports_whether_the_previous_one_was_finished(database: Database) -> None:
    first, second = queue(database, "first"), queue(database, "second")
    await apply(database, [said("Hi", 0)])
    begun = await claim(first)
    await first.release_all()
    left = await claim(second)
    await apply(database, [said("More", 1)])
    await second.finish_all([left])
    anew = await claim(queue(database, "third"))
    assert [each.may_be_unpublished for each in (begun, left, anew)] == [False, True, False]


async def test_a_group_marks_only_the_claims_whose_previous_lease_expired(database: Database) -> None:
    first = queue(database, "first")
    await apply(database, [said("Hi", 0, who=MARIA)])
    await claim(first)
    await first.release_all()
    await apply(database, [said("Hi", 0, who=JUAN)])
    claims = await queue(database, "second").claim_these([str(MARIA), str(JUAN)])
    assert {each.contact_id: each.may_be_unpublished for each in claims} == {str(MARIA): True, str(JUAN): False}
    assert len({each.group for each in claims}) == 1


async def test_a_message_document_has_its_time_for_the_index(database: Database) -> None:
    await apply(database, [said("Hi", 0)])
    found = await database.messages.find_one({"sent_at": at(0)})
    assert found is not None
    assert found["sent_at"] == EPOCH
    assert document(from_document(found))["conversation"] == str(MARIA)


async def mark_due(database: Database, keys: Sequence[str]) -> None:
    now = await server_time(database)
    fields = {"platform": "messenger", "revision": 1, "due_at": now, "first_pending_at": now, "last_event_at": now}
    of = [(key, *key.split(":")[1:]) for key in keys]
    documents = [{"_id": key, "account_id": account, "customer_id": who, **fields} for key, account, who in of]
    await database.conversations.insert_many(documents)


async def test_an_account_with_many_conversations_does_not_delay_another(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when more of it is due than is remembered, and all of it for longer."""
    monkeypatch.setattr(backlog, "MAX_KEYS_PER_ACCOUNT", 20)
    many = [f"messenger:1:{number}" for number in range(60)]
    await mark_due(database, many)
    await asyncio.sleep(0.005)
    await mark_due(database, ["messenger:2:a", "messenger:2:b"])
    worker = queue(database)
    first = {held.contact_id for held in await worker.claim(4)}
    assert first == {"messenger:1:0", "messenger:1:1", "messenger:2:a", "messenger:2:b"}
    await mark_due(database, ["messenger:3:late"])
    await asyncio.sleep(backlog.MIN_READ_SECONDS)
    second = {held.contact_id for held in await worker.claim(4)}
    assert "messenger:3:late" in second
    rest = set(many) - first - second
    while rest:
        claims = await eventually(lambda: worker.claim(25), bool)
        rest -= {held.contact_id for held in claims}


async def test_claimants_share_due_conversations(database: Database) -> None:
    keys = [f"messenger:1:{number}" for number in range(60)]
    await mark_due(database, keys)
    queues = [queue(database, owner=str(number)) for number in range(4)]
    claims = await asyncio.gather(*(each.claim(25) for each in queues))
    while any(more := await asyncio.gather(*(each.claim(25) for each in queues))):
        claims += more
    assert sorted(held.contact_id for group in claims for held in group) == sorted(keys)
    assert {held.fence for group in claims for held in group} == {1}


async def test_leases_are_renewed_in_groups_and_a_lost_one_is_detected(database: Database) -> None:
    await mark_due(database, ["messenger:1:a", "messenger:1:b"])
    first = queue(database)
    kept, gone = sorted(await first.claim(5), key=lambda held: held.contact_id)
    before = kept.held_until
    await database.conversations.update_one({"_id": gone.contact_id}, {"$set": {"lease.group": "another's"}})
    for held in (kept, gone):
        held.held_until -= first.lease_seconds / 2  # a lease is renewed once a third of its time has passed
    await first.renew()
    assert (kept.is_held, gone.is_held) == (True, False)
    assert kept.held_until > before
    assert not await queue(database, "second").claim(5)


async def test_only_changed_conversations_of_a_finished_group_stay_due(database: Database) -> None:
    await mark_due(database, ["messenger:1:a", "messenger:1:b"])
    worker = queue(database)
    claims = await worker.claim(5)
    await database.conversations.update_one({"_id": "messenger:1:a"}, {"$inc": {"revision": 1}})
    await worker.finish_all(claims)
    worker.forget_claims(claims)
    assert [held.contact_id for held in await queue(database, "second").claim(5)] == ["messenger:1:a"]


async def test_a_requeued_conversation_is_due_at_once_even_when_it_is_leased(database: Database) -> None:
    await apply(database, [said("Hi", 0)], Timing(600_000, 600_000, 0))
    assert await Conversations(database).requeue([str(MARIA), str(JUAN)]) == 1
    worker = queue(database)
    held = await claim(worker)
    assert not held.reanalyse
    await Conversations(database).requeue([str(MARIA)], reanalyse=True)
    await worker.finish_all([held])
    worker.forget_claims([held])
    held = await claim(worker)
    assert held.reanalyse
    await worker.finish_all([held])
    worker.forget_claims([held])
    await Conversations(database).requeue([str(MARIA)])
    assert not (await claim(worker)).reanalyse


async def test_ai_retries_come_after_doubling_waits(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.store.ai_retry_queue.MAX_WAIT_FACTOR", 16)
    again, keys = AIRetryQueue(database, wait_ms=1_000), ["a", "b"]
    await again.put(keys, has_failed=False)

    async def waits() -> dict[str, float]:
        now = await server_time(database)
        return {each["_id"]: (each["at"] - now).total_seconds() async for each in database.ai_retries.find()}

    first = await waits()
    assert all(0.5 < each <= 1 for each in first.values())
    await again.put(["a"], has_failed=False)
    assert (await waits())["a"] <= first["a"]
    assert await again.due(5) == []
    for longest in (2, 4, 8, 16, 16):
        await again.put(["b"], has_failed=True)
        assert longest - 0.5 < (await waits())["b"] <= longest
    await eventually(lambda: again.due(5), lambda due: due == ["a"])
    await again.drop(keys)
    assert await waits() == {}


async def test_an_ai_retry_is_claimed_before_it_is_due_and_a_crash_leaves_it_due(
    database: Database,
) -> None:
    await apply(database, [said("Hi", 0)])
    worker = queue(database)
    held = await claim(worker)
    await worker.finish_all([held])
    worker.forget_claims([held])
    (again,) = await queue(database, lease_seconds=0.05).claim_these([str(MARIA)])
    assert again.fence == held.fence + 1
    assert await eventually(lambda: worker.claim(5), bool)


async def test_each_account_gets_its_turn_when_few_are_claimed_between_reads(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the AI is slow: all that is due is looked for anew before the next claim."""
    for name in ("MIN_FULL_READ_SECONDS", "SECONDS_PER_KEY", "MIN_READ_SECONDS"):
        monkeypatch.setattr(backlog, name, 0)
    for account in "abc":
        await mark_due(database, [f"messenger:{account}:{number}" for number in range(3)])
        await asyncio.sleep(0.005)
    worker = queue(database)
    claims = [held for _ in range(6) for held in await worker.claim(1)]
    assert "".join(held.conversation.account_id for held in claims) == "abcabc"


async def test_a_conversation_known_only_to_a_backfill_can_be_requeued(database: Database) -> None:
    await database.conversations.insert_one({"_id": str(MARIA), "history": {"read_at": EPOCH}})
    await Conversations(database).requeue([str(MARIA)], reanalyse=True)
    worker = queue(database)
    held = await claim(worker)
    conversation = held.conversation
    assert (conversation.platform, conversation.account_id, conversation.customer_id) == MARIA
    await worker.finish_all([held])
    assert "due_at" not in (await database.conversations.find_one({"_id": str(MARIA)}) or {})
