"""What a crawl reads, and what it leaves alone, over a small Graph API and histories in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from services.backfill.crawl.crawl import ROUNDS, AccountStoppedError
from services.backfill.runs.progress import CrawlProgress
from shared.contract.encoded_events import EncodedEvent
from shared.contract.events import ConversationCompletedEvent, ConversationListedEvent
from shared.domain.runs import RunCounters
from tests.support.waiting import eventually
from tests.unit.backfill.fake_graph import Answer, error, ok
from tests.unit.backfill.staging import NOON, Stage, World, staged

READ_IN_FULL = 3 + 5 * 3 + 1
"""Calls for five conversations of five messages, by two: three pages of each list, and the listing's first again."""


async def test_everything_is_read_once_and_completed_behind_its_messages() -> None:
    async with staged(World()) as stage:
        progress = await stage.read()
    assert sorted(stage.mids) == sorted(stage.world.all_ids)
    assert stage.checkpoints.counts == {f"t_{number}": (5, 0) for number in range(5)}
    assert progress.counters == RunCounters(
        conversations_listed=5, conversations_read=5, messages_published=25, calls=READ_IN_FULL
    )
    for number in range(5):
        kinds = [event.kind for event in stage.published if event.customer_id == f"c{number}"]
        assert kinds == ["conversation_listed", *["message"] * 5, "conversation_completed"]


async def test_a_listed_event_has_the_conversations_facts() -> None:
    async with staged(World(conversations=1)) as stage:
        await stage.read()
    listed = stage.published[0]
    assert isinstance(listed, ConversationListedEvent)
    assert (listed.thread_id, listed.message_count, len(listed.participants)) == ("t_0", 5, 2)


async def test_a_second_run_looks_at_one_page_and_publishes_nothing() -> None:
    async with staged(World()) as stage:
        await stage.read()
        before = len(stage.published)
        progress = await stage.read("run2")
    assert progress.counters == RunCounters(conversations_listed=2, conversations_unchanged=2, calls=1)
    assert len(stage.published) == before


async def test_a_full_run_publishes_everything_again_and_the_next_run_nothing() -> None:
    async with staged(World()) as stage:
        await stage.read()
        stage.published.clear()
        progress = await stage.read("run2", is_anew=True)
        assert sorted(stage.mids) == sorted(stage.world.all_ids)
        assert (progress.counters.conversations_listed, progress.counters.conversations_read) == (5, 5)
        assert stage.checkpoints.counts == {f"t_{number}": (5, 0) for number in range(5)}
        assert (await stage.read("run3")).counters.calls == 1


@pytest.mark.parametrize("mid", ["t_0.2", "t_2.4", "t_4.0"])
async def test_a_killed_full_run_continues_where_it_was(mid: str) -> None:
    async with staged(World()) as stage:
        await stage.read()
        stage.published.clear()
        await die_at(stage, mid, run_id="run2", is_anew=True, parallelism=1)
        stage.world.say(0, "new")
        progress = await stage.read("run2", is_anew=True)
    assert sorted(stage.mids) == sorted(stage.world.all_ids)
    assert (progress.counters.conversations_listed, progress.counters.conversations_read) == (5, 5)


async def test_without_a_complete_run_the_whole_listing_is_read() -> None:
    async with staged(World()) as stage:
        await stage.read()
        stage.checkpoints.until = None
        progress = await stage.read("run2")
    assert (progress.counters.conversations_unchanged, progress.counters.calls) == (5, 3 + 1)


async def test_a_conversation_that_failed_below_an_unmoved_page_is_found() -> None:
    world = World()
    async with staged(world) as stage:
        await stage.read()
        for number in (4, 3, 2, 1):
            world.say(number, f"new.{number}", minutes=10 - number)
        world.answer = lambda path, _start: error(1, 99) if path.endswith("t_4/messages") else None
        assert (await stage.read("run2")).counters.conversations_failed == 1
        world.answer = lambda _path, _start: None
        progress = await stage.read("run3")
    assert progress.counters.conversations_read == 1
    assert set(stage.mids) == world.all_ids


async def test_a_moved_conversation_is_read_back_to_what_is_known() -> None:
    world = World(messages=50)
    async with staged(world) as stage:
        await stage.read()
        stage.published.clear()
        world.say(3, "new.1", "new.2")
        progress = await stage.read("run2")
    assert stage.mids == ["new.2", "new.1"]
    counters = progress.counters
    assert (counters.conversations_read, counters.messages_published) == (1, 2)
    assert counters.calls == 2 + 2 + 1, "two pages of the listing, two of its messages, and the listing's first again"
    assert stage.checkpoints.counts["t_3"] == (52, 0)


async def test_a_message_sent_in_the_newest_known_second_is_read() -> None:
    world = World(conversations=1)
    async with staged(world) as stage:
        world.say(0, "new.1", "new.2")
        await stage.read()
        stage.published.clear()
        world.say(0, "new.3")
        world.say(0, "new.4", minutes=2)
        await stage.read("run2")
    assert stage.mids == ["new.4", "new.3"]


@pytest.mark.parametrize("ends", [0, 60])
async def test_a_message_sent_in_the_second_of_the_reading_is_read(ends: int) -> None:
    """By the same run where that takes longer, else by the next: the listing looks as it did before."""
    world, now = World(conversations=3), NOON

    async def happen(events: Sequence[EncodedEvent]) -> None:
        nonlocal now
        await stage.publish(events)
        if now == NOON and any(event.value.get("mid") == "t_0.4" for event in events):
            world.say(0, "unseen", minutes=0)
            now += timedelta(seconds=ends + 0.9)

    def clock() -> datetime:
        return now

    async with staged(world) as stage:
        progress = await stage.read(publish=happen, parallelism=1, clock=clock)
        assert (progress.counters.conversations_listed, progress.counters.conversations_read) == (3, 3)
        assert progress.counters.calls <= 2 + 3 * 3 + 2 + 2 + 1, "and it is not looked at again and again"
        assert ("unseen" in stage.mids) == (ends > 0)
        now = NOON + timedelta(minutes=5)
        await stage.read("run2", clock=clock)
        assert sorted(stage.mids) == sorted(world.all_ids)
        assert (await stage.read("run3", clock=clock)).counters.calls == 1


async def test_a_message_sent_in_the_second_a_killed_process_read_in_is_read() -> None:
    world, now = World(conversations=1, messages=6), NOON
    async with staged(world) as stage:
        await die_at(stage, "t_0.4", clock=lambda: now)
        world.say(0, "unseen", minutes=0)
        now += timedelta(minutes=5)
        await stage.read(clock=lambda: now)
    assert sorted(stage.mids) == sorted(world.all_ids)


async def test_two_threads_with_one_customer_that_are_listed_at_once_are_both_read() -> None:
    world = World(conversations=4)
    world.threads[3].number = 0

    async def listed() -> int:
        return world.listing_calls

    async with staged(world) as stage:

        async def wait(events: Sequence[EncodedEvent]) -> None:
            await eventually(listed, lambda number: number >= 2)
            await stage.publish(events)

        await stage.read(publish=wait)
    assert set(stage.mids) == world.all_ids


async def test_a_conversation_that_never_completed_is_read_in_full() -> None:
    world = World(conversations=1, messages=6)
    async with staged(world) as stage:
        world.answer = lambda path, start: error(1, 99) if path.endswith("messages") and start == 4 else None
        await stage.read()
        world.answer = lambda _path, _start: None
        world.say(0, "new")
        stage.published.clear()
        await stage.read("run2")
    assert set(stage.mids) == world.all_ids


async def test_another_thread_with_a_customer_is_read_in_full() -> None:
    world = World(conversations=1)
    async with staged(world) as stage:
        await stage.read()
        world.threads[0].id = "t_another"
        world.say(0, "new")
        stage.published.clear()
        await stage.read("run2")
    assert set(stage.mids) == world.all_ids


@pytest.mark.parametrize("death", range(15))
@pytest.mark.parametrize("is_acknowledged", [False, True])
async def test_a_run_that_dies_anywhere_continues_after_what_was_acknowledged(
    death: int, is_acknowledged: bool
) -> None:
    """Only a page that was acknowledged but not yet remembered is there again."""
    async with staged(World()) as stage:
        times = 0

        async def die(events: Sequence[EncodedEvent]) -> None:
            nonlocal times
            times += 1
            if times <= death or is_acknowledged:
                await stage.publish(events)
            if times > death:
                raise ConnectionError

        with pytest.raises(ConnectionError):
            await stage.read(publish=die, parallelism=1)
        progress = await stage.read()
    assert set(stage.mids) == stage.world.all_ids
    assert len(stage.mids) - 25 == (0 if not is_acknowledged else 1 if death % 3 == 2 else 2), (
        "three pages of 2, 2 and 1"
    )
    assert stage.checkpoints.counts == {f"t_{number}": (5, 0) for number in range(5)}
    assert (progress.counters.conversations_listed, progress.counters.conversations_read) == (5, 5)


async def test_a_conversation_that_moved_between_two_processes_of_a_run_is_read_to_its_newest() -> None:
    world = World(conversations=1, messages=6)
    async with staged(world) as stage:
        await die_at(stage, "t_0.4")
        world.say(0, "new")
        await stage.read()
    assert sorted(stage.mids) == sorted(world.all_ids)
    assert stage.checkpoints.counts == {"t_0": (7, 0)}


async def test_a_conversation_that_moved_between_two_processes_but_not_to_the_front_is_read() -> None:
    world = World(conversations=7)
    async with staged(world) as stage:
        await die_at(stage, "t_5.4", parallelism=1)
        world.say(5, "new", minutes=-2.5)
        await stage.read()
    assert set(stage.mids) == world.all_ids
    assert stage.checkpoints.counts["t_5"] == (6, 0)


async def die_at(stage: Stage, mid: str, **more: Any) -> None:
    """A process that ends before that message is acknowledged."""

    async def die(events: Sequence[EncodedEvent]) -> None:
        if any(event.value.get("mid") == mid for event in events):
            raise ConnectionError
        await stage.publish(events)

    with pytest.raises(ConnectionError):
        await stage.read(publish=die, **more)


async def test_a_checkpoint_of_another_run_is_not_continued() -> None:
    async with staged(World(conversations=1, messages=6)) as stage:
        await die_at(stage, "t_0.4")
        stage.published.clear()
        await stage.read("run2")
    assert sorted(stage.mids) == sorted(stage.world.all_ids)


async def test_a_cursor_that_expired_between_two_processes_begins_the_conversation_again() -> None:
    world = World(conversations=1, messages=6)
    async with staged(world) as stage:
        await die_at(stage, "t_0.4")
        (checkpoint,) = stage.checkpoints.checkpoints.values()
        world.expired.add(checkpoint.position.following["after"])
        ever = world.all_ids | {"new"}
        world.threads[0].messages.pop(3)
        world.say(0, "new")
        progress = await stage.read()
    assert set(stage.mids) == ever
    assert stage.checkpoints.counts == {"t_0": (6, 0)}, "what is there now"
    assert progress.counters.messages_published == 6, "by this process"


@pytest.mark.parametrize("starts", [[2], [4], [4, 2], [2, 4, 2, 6]])
async def test_an_expired_cursor_begins_the_conversation_again(starts: list[int]) -> None:
    """However often, and though somebody writes meanwhile. Events that are there twice have the same ids."""
    world, due = World(conversations=1, messages=9), list(starts)

    def expire(path: str, start: int) -> Answer | None:
        if not (path.endswith("t_0/messages") and due and start == due[0]):
            return None
        del due[0]
        world.say(0, f"new.{len(due)}", minutes=9 - len(due))
        return error(100)

    world.answer = expire
    async with staged(world) as stage:
        progress = await stage.read()
    assert due == []
    assert set(stage.mids) == world.all_ids
    assert len(stage.mids) == 9 + len(starts) + sum(starts), "what was read by then is published again, and no more"
    assert stage.checkpoints.counts == {"t_0": (9 + len(starts), 0)}
    assert (progress.counters.messages_published, progress.counters.conversations_failed) == (len(stage.mids), 0)


async def test_a_message_that_appears_late_is_read_when_an_expired_cursor_begins_the_conversation_again() -> None:
    """Within what was read by then, where nothing looks for it otherwise."""
    world, refusals = World(conversations=1, messages=9), [error(100)]

    def expire(path: str, start: int) -> Answer | None:
        if not (path.endswith("t_0/messages") and refusals and start == 6):
            return None
        world.threads[0].messages.insert(2, ("late", world.threads[0].messages[2][1]))
        return refusals.pop()

    world.answer = expire
    async with staged(world) as stage:
        await stage.read()
    assert set(stage.mids) == world.all_ids


async def test_a_conversation_whose_cursors_always_expire_fails_alone() -> None:
    def expire(path: str, start: int) -> Answer | None:
        return error(100) if path.endswith("t_1/messages") and start == 4 else None

    async with staged(World(answer=expire)) as stage:
        progress = await stage.read()
    assert reasons(progress) == {"t_1": "transient 100: its cursors are refused again and again"}
    assert stage.completed == {"t_0", "t_2", "t_3", "t_4"}


@pytest.mark.parametrize("start", [2, 4])
async def test_an_expired_cursor_restarts_the_listing_without_what_was_listed(start: int) -> None:
    refusals = [error(100)]

    def expire(path: str, at: int) -> Answer | None:
        return refusals.pop() if refusals and path.endswith("conversations") and at == start else None

    async with staged(World(answer=expire)) as stage:
        progress = await stage.read()
    assert sorted(stage.mids) == sorted(stage.world.all_ids)
    assert progress.counters == RunCounters(
        conversations_listed=5, conversations_read=5, messages_published=25, calls=READ_IN_FULL + start // 2 + 1
    )


async def test_a_conversation_that_moves_while_a_listing_cursor_expires_is_read() -> None:
    world, refusals = World(conversations=9), [error(100)]

    def expire(path: str, at: int) -> Answer | None:
        if not (refusals and path.endswith("conversations") and at == 4):
            return None
        for number in (8, 2, 0):
            world.say(number, f"new.{number}")
        world.say(9, "first")
        return refusals.pop()

    world.answer = expire
    async with staged(world) as stage:
        progress = await stage.read()
    assert set(stage.mids) == world.all_ids
    assert (progress.counters.conversations_listed, progress.counters.conversations_read) == (10, 10)


async def test_messages_sent_during_a_run_are_read_at_its_end() -> None:
    """To one that was read, to one that was not, and by somebody new."""
    world, moved = World(conversations=7), list[int]()

    def happen(path: str, start: int) -> None:
        if path.endswith("t_2/messages") and start == 4 and not moved:
            moved.append(1)
            for number in (0, 6, 7):
                world.say(number, f"new.{number}")

    world.answer = happen
    async with staged(world) as stage:
        progress = await stage.read(parallelism=1)
    assert sorted(stage.mids) == sorted(world.all_ids)
    assert (progress.counters.conversations_listed, progress.counters.conversations_read) == (8, 8)
    ends = [event for event in stage.published if isinstance(event, ConversationCompletedEvent)]
    assert len({event.event_id for event in ends}) == len(ends) == 9, "one was read twice, with an event for each time"


async def test_more_that_moved_than_a_page_holds_is_read_at_the_end() -> None:
    world, moved = World(conversations=9, messages=2), list[int]()

    def happen(path: str, _start: int) -> None:
        if path.endswith("t_8/messages") and not moved:
            moved.append(1)
            for number in range(8):
                world.say(number, f"new.{number}", minutes=1 + number)

    world.answer = happen
    async with staged(world) as stage:
        await stage.read(parallelism=1)
    assert set(stage.mids) == world.all_ids


async def test_an_account_that_never_rests_is_read_to_an_end() -> None:
    world = World(conversations=2)

    def happen(path: str, _start: int) -> None:
        if path.endswith("conversations"):
            world.say(0, f"new.{world.listing_calls}", minutes=world.listing_calls)

    world.answer = happen
    async with staged(world) as stage:
        await stage.read()
        assert world.listing_calls <= 2 * (1 + ROUNDS)
        said_by_then = set(stage.mids)
        world.answer = lambda _path, _start: None
        await stage.read("run2")
    assert len(world.all_ids - said_by_then) <= 1
    assert set(stage.mids) == world.all_ids


async def test_a_conversation_that_is_gone_is_skipped_and_fails_nothing() -> None:
    def gone(path: str, start: int) -> Answer | None:
        return error(100, 2534001) if path.endswith("t_2/messages") and start == 2 else None

    async with staged(World(answer=gone)) as stage:
        progress = await stage.read()
        gone_at = stage.world.thread(2).place[0]
        assert stage.checkpoints.until is not None
        assert stage.checkpoints.until < gone_at, "it may come back, unmoved, with the right to see it"
    assert (progress.counters.conversations_gone, progress.counters.conversations_failed) == (1, 0)
    assert (progress.counters.conversations_read, progress.counters.conversations_listed) == (4, 5)
    assert stage.completed == set(stage.checkpoints.counts) == {"t_0", "t_1", "t_3", "t_4"}


@pytest.mark.parametrize("start", [0, 2, 4])
@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (error(1, 99), "reduce_data 1/99"),
        (error(2), "transient 2"),
        ((502, b"<html>", {}), "transient: HTTP 502"),
    ],
)
async def test_a_conversation_that_cannot_be_read_is_recorded_and_the_others_are_read(
    start: int, refusal: Answer, reason: str
) -> None:
    def fail(path: str, at: int) -> Answer | None:
        return refusal if path.endswith("t_0/messages") and at == start else None

    async with staged(World(answer=fail)) as stage:
        stage.client.deadline_seconds = 0.0
        progress = await stage.read()
        assert stage.checkpoints.until is not None
        assert stage.checkpoints.until < stage.world.thread(0).place[0], "what was not read in full is looked for again"
    (failure,) = progress.failures
    assert failure.thread_id == "t_0"
    assert failure.reason.startswith(reason)
    assert (progress.counters.conversations_read, progress.counters.conversations_failed) == (4, 1)
    assert stage.completed == set(stage.checkpoints.counts) == {"t_1", "t_2", "t_3", "t_4"}


async def test_the_next_run_lists_down_to_the_oldest_unread_conversation_and_no_further() -> None:
    """Down to the page behind the oldest of it, of which nothing else need be asked for."""
    world = World(conversations=20)
    lost = {"t_1": error(100, 33), "t_4": error(1, 99)}
    world.answer = lambda path, _start: lost.get(path.split("/")[-2]) if path.endswith("/messages") else None
    async with staged(world) as stage:
        assert (await stage.read()).counters.conversations_read == 18
        again = (await stage.read("run2")).counters
        assert (again.conversations_gone, again.conversations_failed, again.conversations_listed) == (1, 1, 8)
        lost.clear()
        assert (await stage.read("run3")).counters.conversations_read == 2
        assert set(stage.mids) == world.all_ids
        assert (await stage.read("run4")).counters.calls == 1


async def test_an_unread_conversation_without_a_time_makes_the_next_run_list_everything() -> None:
    world = World()
    async with staged(world) as stage:
        await stage.read()
        world.answer = lambda path, _start: ok({"data": [{"id": "t_9"}]}) if path.endswith("/conversations") else None
        assert (await stage.read("run2")).counters.conversations_failed == 1
        world.answer = lambda _path, _start: None
        assert (await stage.read("run3")).counters.conversations_listed == 5


async def test_a_conversation_without_a_customer_is_counted_as_failed() -> None:
    def odd(path: str, _start: int) -> Answer | None:
        return ok({"data": [None, {"id": "t_9"}]}) if path.endswith("/conversations") else None

    async with staged(World(answer=odd)) as stage:
        progress = await stage.read()
    assert list(reasons(progress)) == ["unknown", "t_9"]
    assert progress.counters.conversations_listed == 2


def reasons(progress: CrawlProgress) -> dict[str, str]:
    return {each.thread_id: each.reason for each in progress.failures}


@pytest.mark.parametrize("start", [0, 2, 4])
async def test_a_conversation_that_breaks_the_listing_is_failed_and_the_others_are_read(start: int) -> None:
    """It is asked for by its id alone, so that the listing can go on behind it."""
    world = World(size=1)
    asked = 0

    def break_page(path: str, at: int) -> Answer | None:
        nonlocal asked
        if not path.endswith("/conversations") or at != start:
            return None
        asked += 1
        return error(1, 99) if asked <= 7 else None  # with 100, 50, 25, 12, 6, 3 and 1 to a page

    world.answer = break_page
    async with staged(world) as stage:
        progress = await stage.read()
    assert reasons(progress) == {f"t_{start}": "reduce_data 1/99"}
    assert (progress.counters.conversations_listed, progress.counters.conversations_read) == (5, 4)


@pytest.mark.parametrize("start", [0, 2, 4])
@pytest.mark.parametrize("refusal", [error(10), error(190, 463), error(3), error(2), error(100, 33)])
async def test_a_listing_that_fails_on_any_page_stops_the_account(start: int, refusal: Answer) -> None:
    def refuse(path: str, at: int) -> Answer | None:
        return refusal if path.endswith("/conversations") and at == start else None

    async with staged(World(answer=refuse)) as stage:
        stage.client.deadline_seconds = 0.0
        with pytest.raises(AccountStoppedError, match=r"^the conversations could not be listed: "):
            await stage.read()
        assert stage.checkpoints.until is None


async def test_conversations_listed_before_the_listing_failed_are_read() -> None:
    def refuse(path: str, at: int) -> Answer | None:
        return error(2) if path.endswith("/conversations") and at == 4 else None

    async with staged(World(answer=refuse)) as stage:
        stage.client.deadline_seconds = 0.0
        with pytest.raises(AccountStoppedError):
            await stage.read()
    assert stage.completed == {"t_0", "t_1", "t_2", "t_3"}


WARNINGS = [error(613, 2018338), error(368)]


@pytest.mark.parametrize("readers", [3, 9])
@pytest.mark.parametrize("refusal", [error(190, 463), error(10), error(3), *WARNINGS])
async def test_a_refused_token_stops_the_account_at_once(refusal: Answer, readers: int) -> None:
    world = World(conversations=50)
    world.answer = lambda _path, _start: refusal if world.message_calls > 4 else None
    async with staged(world) as stage:
        with pytest.raises(AccountStoppedError) as stopped:
            await stage.read(readers=readers)
    assert stopped.value.is_warned == (refusal in WARNINGS)
    assert world.message_calls <= 4 + 3, "three calls in flight, and none behind the first refusal"
    assert stage.completed == set(stage.checkpoints.counts)


async def test_a_request_that_is_wrong_from_the_first_page_on_stops_the_account() -> None:
    world = World(answer=lambda path, start: error(100) if path.endswith("/messages") else None)
    async with staged(world) as stage:
        with pytest.raises(AccountStoppedError, match="bad_request 100"):
            await stage.read(parallelism=1)
    assert world.message_calls == 1


async def test_a_conversation_that_is_listed_again_while_it_is_read_is_read_and_counted_once() -> None:
    world, is_listed = World(), asyncio.Event()

    def repeat(path: str, start: int) -> Answer | None:
        if not path.endswith("/conversations") or start != 2 or is_listed.is_set():
            return None
        is_listed.set()
        again = [world.thread(number).node() for number in (0, 1)]
        return ok(
            {
                "data": again,
                "paging": {"cursors": {"after": f"{world.threads[1].place[0].isoformat()} t_1 "}, "next": "x"},
            }
        )

    world.answer = repeat
    async with staged(world) as stage:

        async def wait(events: Sequence[EncodedEvent]) -> None:
            await eventually(calls, lambda number: number >= 4)
            await stage.publish(events)

        async def calls() -> int:
            return world.listing_calls

        progress = await stage.read(publish=wait)
    assert sorted(stage.mids) == sorted(world.all_ids)
    assert (progress.counters.conversations_listed, progress.counters.conversations_read) == (5, 5)


@pytest.mark.parametrize("has_moved", [False, True])
@pytest.mark.parametrize("is_known", [False, True])
async def test_a_conversation_that_is_listed_again_after_it_was_read_is_counted_once(
    is_known: bool, has_moved: bool
) -> None:
    """As pages shift when somebody writes while they are asked for: read or not, moved or not."""
    world, again = World(size=1), list[str]()

    async def read() -> set[str]:
        return {each.thread_id for each in stage.checkpoints.histories.values()}

    async def respond(request: web.Request) -> Answer:
        after = request.query.get("after", "")
        if request.path.endswith("/conversations") and after.endswith(" t_1") and again == ["due"]:
            await eventually(read, lambda thread_ids: "t_0" in thread_ids)
            again.append("listed")
            if has_moved:
                world.say(0, "new")
            return ok({"data": [world.thread(0).node()], "paging": {"cursors": {"after": f"{after} "}, "next": "x"}})
        return await World.respond(world, request)

    world.respond = respond  # type: ignore[method-assign]
    async with staged(world) as stage:
        if is_known:
            await stage.read("run0")
            stage.checkpoints.until = None
        again.append("due")
        counters = (await stage.read()).counters
    assert again == ["due", "listed"]
    assert counters.conversations_listed == counters.conversations_read + counters.conversations_unchanged == 5
    assert counters.conversations_read == (has_moved if is_known else 5)
    assert set(stage.mids) == world.all_ids


async def test_a_listing_that_is_not_in_order_is_read_whole() -> None:
    world, pages = World(), [[4, 3], [0, 1], [2]] * 5

    def shuffle(path: str, _start: int) -> Answer | None:
        if not path.endswith("/conversations"):
            return None
        body: dict[str, Any] = {"data": [world.thread(number).node() for number in pages.pop(0)]}
        more = {"paging": {"cursors": {"after": f"~{len(pages)}"}, "next": "https://x"}}
        return ok({**body, **(more if len(pages) % 3 else {})})

    world.answer = shuffle
    async with staged(world) as stage:
        progress = await stage.read()
    assert sorted(stage.mids) == sorted(world.all_ids)
    assert progress.counters.conversations_listed == 5


async def test_an_empty_page_before_the_last_is_not_the_end() -> None:
    empty = {"t_1/messages", "/conversations"}

    def gap(path: str, _start: int) -> Answer | None:
        for end in [end for end in empty if path.endswith(end)]:
            empty.remove(end)
            return ok({"data": [], "paging": {"cursors": {"after": "~"}, "next": "https://x"}})
        return None

    async with staged(World(answer=gap)) as stage:
        await stage.read()
    assert sorted(stage.mids) == sorted(stage.world.all_ids)


async def test_messages_that_are_not_shown_are_counted_and_do_not_fail_the_run() -> None:
    def hidden(path: str, start: int) -> Answer | None:
        only_ids = {"data": [{"id": "m_old", "created_time": "2020-01-01T00:00:00+0000"}, None]}
        return ok(only_ids) if path.endswith("messages") and start == 4 else None

    async with staged(World(answer=hidden)) as stage:
        progress = await stage.read()
    assert (progress.counters.messages_published, progress.counters.messages_unavailable) == (20, 10)
    assert set(stage.checkpoints.counts.values()) == {(4, 2)}
    ends = [event for event in stage.published if isinstance(event, ConversationCompletedEvent)]
    assert {(end.messages_read, end.messages_unavailable) for end in ends} == {(4, 2)}


async def test_what_is_not_acknowledged_is_neither_completed_nor_remembered() -> None:
    async with staged(World()) as stage:
        await die_at(stage, "t_1.4")
        (checkpoint,) = [each for each in stage.checkpoints.checkpoints.values() if each.thread_id == "t_1"]
    assert "t_1" not in stage.completed | set(stage.checkpoints.counts)
    assert checkpoint.position.read == 4


async def test_a_crawl_that_is_cancelled_ends_and_leaves_its_checkpoints() -> None:
    async with staged(World()) as stage:
        never = asyncio.Event()

        async def wait(events: Sequence[EncodedEvent]) -> None:
            await stage.publish(events)
            if len(stage.mids) > 5:
                await never.wait()

        async def messages() -> int:
            return len(stage.mids)

        task = asyncio.create_task(stage.crawl(publish=wait).read("run1"))
        await eventually(messages, lambda number: number > 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stage.published.clear()
        await stage.read()
    assert set(stage.checkpoints.counts.values()) == {(5, 0)}
    assert len(stage.mids) < 25


async def test_the_lister_does_not_run_ahead_of_the_readers() -> None:
    world, ahead = World(conversations=200, messages=1), list[int]()

    def note(_path: str, _start: int) -> None:
        ahead.append(2 * world.listing_calls - len(stage.checkpoints.counts))

    async with staged(world) as stage:
        world.answer = note
        assert (await stage.read(parallelism=2)).counters.conversations_read == 200
    assert max(ahead) <= 2 + 2 * 2 + 2 * 2, "those being read, those in the queue, and two pages of two"
