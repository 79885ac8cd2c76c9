"""Runs end in the state that is true, over a small Graph API and stores in memory."""

from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from services.backfill.display import live_table, progress_line, runs_table, summary
from services.backfill.runs import ActiveRunError
from shared.clock import utc_now
from shared.events import ConversationListedEvent, Event, MessageEvent
from shared.runs import RunCounters, RunState
from tests.support.waiting import eventually
from tests.unit.backfill.fake_graph import Answer, error, ok
from tests.unit.backfill.staging import BEGUN, World, staged


async def test_everything_is_read_once_and_completed_behind_its_messages() -> None:
    async with staged(World()) as stage:
        run = await stage.crawl().execute()
    assert (run.state, run.reason) == (RunState.COMPLETED, None)
    assert run == stage.store.saved[-1]
    assert run.finished_at is not None
    assert sorted(stage.mids) == sorted(stage.world.all_ids)
    assert stage.store.counts == {f"t_{number}": (5, 0) for number in range(5)}
    assert run.counters == RunCounters(
        conversations_listed=5, conversations_read=5, messages_published=25, calls=3 + 5 * 3
    )
    for number in range(5):
        kinds = [event.kind for event in stage.published if event.customer_id == f"c{number}"]
        assert kinds == ["conversation_listed", *["message"] * 5, "conversation_completed"]


async def test_a_second_run_calls_once_per_listing_page_and_publishes_nothing() -> None:
    async with staged(World()) as stage:
        await stage.crawl().execute()
        before, stage.client.calls = len(stage.published), 0
        stage.store.begins = BEGUN.model_copy(update={"run_id": "run2"})
        run = await stage.crawl().execute()
    assert run.state is RunState.COMPLETED
    assert run.counters == RunCounters(conversations_listed=5, conversations_unchanged=5, calls=3)
    assert len(stage.published) == before


async def test_only_what_has_moved_is_read_again() -> None:
    async with staged(World()) as stage:
        await stage.crawl().execute()
        stage.published.clear()
        stage.world.updated[3] = "2026-11-24T09:30:00+0000"
        stage.store.begins = BEGUN.model_copy(update={"run_id": "run2"})
        run = await stage.crawl().execute()
    assert (run.counters.conversations_read, run.counters.conversations_unchanged) == (1, 4)
    assert {event.customer_id for event in stage.published} == {"c3"}


async def test_a_run_that_a_dead_process_left_counts_what_that_had_done() -> None:
    async with staged(World()) as stage:
        whole = await stage.crawl().execute()
        del stage.store.histories["messenger:371:c4"]
        stage.published.clear()
        done = RunCounters(conversations_listed=4, conversations_read=4, messages_published=20, calls=15)
        stage.store.begins = BEGUN.model_copy(update={"counters": done})
        run = await stage.crawl().execute()
    assert set(stage.mids) == {f"t_4.{number}" for number in range(5)}
    assert run.counters.model_copy(update={"calls": 0}) == whole.counters.model_copy(update={"calls": 0})
    assert run.counters.calls == 15 + 3 + 3


async def test_conversations_that_cannot_be_read_make_the_run_partial_with_reasons() -> None:
    def gone(path: str, start: int) -> Answer | None:
        return error(100, 2534001) if path.endswith("t_2/messages") and start == 2 else None

    async with staged(World(answer=gone)) as stage:
        run = await stage.crawl().execute()
    assert (run.state, run.reason) == (RunState.PARTIAL, "1 conversations failed")
    assert [(each.thread_id, each.reason) for each in run.failures] == [("t_2", "gone 100/2534001")]
    assert (run.counters.conversations_read, run.counters.conversations_failed) == (4, 1)
    assert stage.completed == set(stage.store.counts) == {"t_0", "t_1", "t_3", "t_4"}


async def test_a_conversation_without_a_customer_is_a_failure_and_not_left_out() -> None:
    def odd(path: str, _start: int) -> Answer | None:
        return ok({"data": [None, {"id": "t_9"}]}) if path.endswith("/conversations") else None

    async with staged(World(answer=odd)) as stage:
        run = await stage.crawl().execute()
    assert run.state is RunState.PARTIAL
    assert [each.thread_id for each in run.failures] == ["unknown", "t_9"]


@pytest.mark.parametrize("start", [0, 2, 4])
async def test_a_listing_that_fails_on_any_page_is_a_failed_run(start: int) -> None:
    def refuse(path: str, at: int) -> Answer | None:
        return error(10) if path.endswith("/conversations") and at == start else None

    async with staged(World(answer=refuse)) as stage:
        run = await stage.crawl().execute()
    assert run.state is RunState.FAILED
    assert str(run.reason).startswith("the conversations could not be listed: permission 10: ")


async def test_an_empty_page_before_the_last_is_not_the_end() -> None:
    def gap(path: str, start: int) -> Answer | None:
        if path.endswith("t_1/messages") and start == 0:
            return ok({"data": [], "paging": {"cursors": {"after": "2"}, "next": "https://x"}})
        return None

    async with staged(World(answer=gap)) as stage:
        assert (await stage.crawl().execute()).state is RunState.COMPLETED
    assert stage.store.counts["t_1"] == (3, 0)


@pytest.mark.parametrize("refusal", [error(190, 463), error(10), error(613, 2018338), error(368)])
async def test_a_token_that_dies_stops_the_account_at_once(refusal: Answer) -> None:
    world = World(conversations=50)
    world.answer = lambda _path, _start: refusal if world.message_calls > 4 else None
    async with staged(world) as stage:
        run = await stage.crawl().execute()
    assert run.state is RunState.FAILED
    assert run.reason
    assert world.message_calls <= 4 + 3, "one call in flight for each of three readers"
    assert stage.completed == set(stage.store.counts)


async def test_messages_that_are_not_shown_are_counted_and_do_not_fail_the_run() -> None:
    def hidden(path: str, start: int) -> Answer | None:
        only_ids = {"data": [{"id": "m_old", "created_time": "2020-01-01T00:00:00+0000"}, None]}
        return ok(only_ids) if path.endswith("messages") and start == 4 else None

    async with staged(World(answer=hidden)) as stage:
        run = await stage.crawl().execute()
    assert run.state is RunState.COMPLETED
    assert (run.counters.messages_published, run.counters.messages_unavailable) == (20, 10)
    assert set(stage.store.counts.values()) == {(4, 2)}


async def test_what_is_not_acknowledged_is_neither_completed_nor_remembered() -> None:
    async with staged(World()) as stage:

        async def refuse(events: list[Event]) -> None:
            if any(isinstance(event, MessageEvent) and event.mid == "t_1.4" for event in events):
                raise ConnectionError
            await stage.publish(events)

        with pytest.raises(ConnectionError):
            await stage.crawl(publish=refuse).execute()
    assert stage.store.saved[-1].state is RunState.FAILED
    assert "t_1" not in stage.completed | set(stage.store.counts)


async def test_an_interrupted_run_is_cancelled_with_its_counts() -> None:
    async with staged(World()) as stage:
        never = asyncio.Event()

        async def wait(events: list[Event]) -> None:
            await stage.publish(events)
            if len(stage.mids) > 5:
                await never.wait()

        async def messages() -> int:
            return len(stage.mids)

        crawl = stage.crawl(publish=wait)
        task = asyncio.create_task(crawl.execute())
        await eventually(messages, lambda number: number > 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    last = stage.store.saved[-1]
    assert last == crawl.run
    assert (last.state, last.reason) == (RunState.CANCELLED, "interrupted by the operator")
    assert last.counters.conversations_listed > 0


async def test_a_process_whose_run_was_taken_over_stops() -> None:
    async with staged(World()) as stage:

        async def taken(_events: list[Event]) -> None:
            stage.store.is_taken = True
            await asyncio.Event().wait()

        with pytest.raises(ActiveRunError):
            await stage.crawl(publish=taken).execute()
    assert all(run.state is RunState.RUNNING for run in stage.store.saved)


async def test_the_lister_does_not_run_ahead_of_the_readers() -> None:
    world, ahead = World(conversations=200, messages=1), list[int]()

    def note(_path: str, _start: int) -> None:
        ahead.append(2 * world.listing_calls - len(stage.store.counts))

    world.answer = note
    async with staged(world) as stage:
        assert (await stage.crawl(parallelism=2).execute()).counters.conversations_read == 200
    assert max(ahead) <= 2 + 2 * 2 + 2 * 2, "those being read, those in the queue, and two pages of two"


async def test_the_display_says_what_is_going_on() -> None:
    async with staged(World()) as stage:
        crawl = stage.crawl()
        run = await crawl.execute()
        crawl.tally.throttled_until = utc_now().replace(year=2099)
        console = Console(width=200, record=True, file=io.StringIO())
        console.print(live_table([crawl]), runs_table([run], {"messenger:371": "[bold]"}))
        drawn = console.export_text()
        line = progress_line(crawl)
    for told in ("The [Page]", "5/5", "25", "18", "throttled", "COMPLETED", "[bold]"):
        assert told in drawn
    counts = "5 conversations listed, 5 read, 0 unchanged, 0 failed, 25 messages, 0 unavailable, 18 calls"
    assert line.startswith(f"messenger 371: {counts}, throttled for ")
    assert summary(run) == f"messenger 371: COMPLETED, {counts}"


async def test_conversations_that_were_listed_have_their_facts() -> None:
    async with staged(World(conversations=1)) as stage:
        await stage.crawl().execute()
    listed = stage.published[0]
    assert isinstance(listed, ConversationListedEvent)
    assert (listed.thread_id, listed.message_count, len(listed.participants)) == ("t_0", 5, 2)
