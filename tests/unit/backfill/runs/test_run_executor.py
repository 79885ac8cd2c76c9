"""The final state of a run, whatever happens to its crawl, its process and its document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.backfill.crawl.crawl import AccountStoppedError, Crawl
from services.backfill.runs.lease_guard import LeaseGuard
from services.backfill.runs.progress import CrawlProgress
from services.backfill.runs.run_executor import RunExecutor
from shared.contract.encoded_events import EncodedEvent
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.runs import RUN_LEASE, Run, RunCounters, RunState
from shared.runtime.clock import utc_now
from shared.store.mongo import ConnectionFailure
from shared.store.runs import CANCELLED_BY_OPERATOR, ActiveRunError, RunStore

PAGE = Account(platform=Platform.MESSENGER, account_id="371", page_id="371", name="The Page", encrypted_token="x")
BEGUN = Run(
    run_id="run1", platform=PAGE.platform, account_id="371", state=RunState.RUNNING, created_at=utc_now(),
    started_at=utc_now(), owner="me",
)  # fmt: skip
Read = Callable[[CrawlProgress], Awaitable[None]]


class MemoryRuns(RunStore):
    """Records writes. `fails` has the exceptions of the next writes; a test sets `is_asked`."""

    def __init__(self) -> None:
        self.saved: list[Run] = []
        self.given_back: list[Run] = []
        self.is_asked = False
        self.fails: list[Exception] = []
        self.is_away = False

    async def save(self, run: Run) -> bool:
        self._fail()
        self.saved.append(run)
        return self.is_asked

    async def give_back(self, run: Run) -> None:
        self._fail()
        self.given_back.append(run)

    def _fail(self) -> None:
        if self.is_away:
            raise ConnectionFailure
        if self.fails:
            raise self.fails.pop(0)


class ScriptedCrawl(Crawl):
    """A crawl that runs `script`."""

    def __init__(self, script: Read) -> None:
        self.account, self.clock, self.progress = PAGE, utc_now, CrawlProgress()
        self.client = cast(Any, SimpleNamespace(calls=0))
        self.script = script

    async def read(self, run_id: str) -> None:
        assert run_id == BEGUN.run_id
        await self.script(self.progress)


def executor_for(script: Read, **more: Any) -> tuple[RunExecutor, MemoryRuns]:
    store = MemoryRuns()
    return RunExecutor(ScriptedCrawl(script), store, heartbeat_seconds=0.001, **more), store


async def at_once(_progress: CrawlProgress) -> None:
    pass


async def for_ever(progress: CrawlProgress) -> None:
    progress.add(conversations_read=1, messages_published=3)
    await asyncio.Event().wait()


def failing(error: Exception) -> Read:
    async def script(_progress: CrawlProgress) -> None:
        raise error

    return script


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0)


async def test_a_run_that_read_everything_is_completed() -> None:
    executor, store = executor_for(at_once)
    end = await executor.execute(BEGUN, asyncio.Event())
    assert (end.state, end.reason, store.saved[-1]) == (RunState.COMPLETED, None, end)
    assert end.finished_at is not None


async def test_a_run_with_failures_is_partial_and_says_what_failed_and_why() -> None:
    async def script(progress: CrawlProgress) -> None:
        progress.fail("t_1", "gone")

    executor, _ = executor_for(script)
    end = await executor.execute(BEGUN, asyncio.Event())
    assert (end.state, end.reason, len(end.failures)) == (RunState.PARTIAL, "1 conversations failed", 1)


async def test_a_run_that_cannot_continue_is_failed_with_advice() -> None:
    executor, _ = executor_for(failing(AccountStoppedError("connect the account again")))
    end = await executor.execute(BEGUN, asyncio.Event())
    assert (end.state, end.reason, end.is_warned) == (RunState.FAILED, "connect the account again", False)


async def test_a_run_that_was_ended_with_a_warning_says_so() -> None:
    executor, store = executor_for(failing(AccountStoppedError("find its cause", is_warned=True)))
    assert (await executor.execute(BEGUN, asyncio.Event())).is_warned
    assert store.saved[-1].is_warned


async def test_an_unexpected_error_fails_the_run_and_is_raised() -> None:
    executor, store = executor_for(failing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        await executor.execute(BEGUN, asyncio.Event())
    assert store.saved[-1].state is RunState.FAILED


async def test_counters_are_written_during_a_run_and_kept_by_a_cancellation() -> None:
    executor, store = executor_for(for_ever)
    ended = asyncio.create_task(executor.execute(BEGUN, asyncio.Event()))
    await until(lambda: store.saved and store.saved[-1].counters.messages_published == 3)
    assert store.saved[-1].state is RunState.RUNNING
    store.is_asked = True
    end = await ended
    assert (end.state, end.reason) == (RunState.CANCELLED, CANCELLED_BY_OPERATOR)
    assert end.counters.messages_published == 3


async def test_a_late_cancellation_does_not_cancel_a_run_that_has_read_everything() -> None:
    async def script(_progress: CrawlProgress) -> None:
        await asyncio.sleep(0)
        store.is_asked = True

    executor, store = executor_for(script)
    assert (await executor.execute(BEGUN, asyncio.Event())).state is RunState.COMPLETED


@pytest.mark.parametrize(("requeues_on_stop", "state"), [(True, RunState.QUEUED), (False, RunState.CANCELLED)])
async def test_a_stopped_process_requeues_its_run_or_cancels_it(requeues_on_stop: bool, state: RunState) -> None:
    executor, store = executor_for(for_ever, requeues_on_stop=requeues_on_stop)
    stop = asyncio.Event()
    ended = asyncio.create_task(executor.execute(BEGUN, stop))
    await until(lambda: store.saved)
    stop.set()
    end = await ended
    assert (end.state, end.counters.messages_published) == (state, 3)
    assert (store.given_back or store.saved)[-1] == end


async def test_counters_of_earlier_processes_are_kept() -> None:
    before = RunCounters(conversations_read=5, messages_published=10, messages_unavailable=2, calls=7)

    async def script(progress: CrawlProgress) -> None:
        progress.add(conversations_read=6, messages_published=1)

    executor, _ = executor_for(script)
    end = await executor.execute(BEGUN.model_copy(update={"counters": before}), asyncio.Event())
    assert end.counters == RunCounters(
        conversations_read=6, messages_published=11, messages_unavailable=2, calls=7
    )  # fmt: skip


@pytest.mark.parametrize("is_anew", [False, True])
async def test_a_full_run_stays_full_in_every_process(is_anew: bool) -> None:
    executor, store = executor_for(at_once)
    await executor.execute(BEGUN.model_copy(update={"is_anew": is_anew}), asyncio.Event())
    assert executor.crawl.is_anew == store.saved[-1].is_anew == is_anew


async def test_a_process_whose_run_was_taken_writes_nothing_more() -> None:
    executor, store = executor_for(for_ever)
    store.fails = [ActiveRunError()]
    with pytest.raises(ActiveRunError):
        await executor.execute(BEGUN, asyncio.Event())
    assert not store.saved + store.given_back


async def test_a_brief_absence_of_the_database_loses_nothing() -> None:
    async def script(_progress: CrawlProgress) -> None:
        await until(lambda: store.saved)

    executor, store = executor_for(script)
    store.fails = [ConnectionFailure(), ConnectionFailure()]
    assert (await executor.execute(BEGUN, asyncio.Event())).state is RunState.COMPLETED


async def test_a_database_that_is_away_for_too_long_ends_the_run() -> None:
    executor, store = executor_for(for_ever, lost_after_seconds=0.05)
    store.is_away = True
    with pytest.raises(ActiveRunError, match="could not be written"):
        await executor.execute(BEGUN, asyncio.Event())


async def test_a_crawl_that_loses_the_database_requeues_the_run() -> None:
    executor, store = executor_for(failing(ConnectionFailure()))
    with pytest.raises(ConnectionFailure):
        await executor.execute(BEGUN, asyncio.Event())
    assert store.given_back[-1].state is RunState.QUEUED


async def test_a_process_that_was_suspended_publishes_nothing_more() -> None:
    now, published = 0.0, []

    async def publish(events: Sequence[EncodedEvent]) -> None:
        published.append(events)

    lease_guard = LeaseGuard(lambda: now)
    guarded = lease_guard.guard(publish)
    await guarded([])
    now = RUN_LEASE.total_seconds()
    with pytest.raises(ActiveRunError):
        await guarded([])
    lease_guard.extend(1.0)
    await guarded([])
    assert len(published) == 2
