"""Which runs a worker executes, and what happens to them when one fails unexpectedly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.backfill.runs import run_worker as module
from services.backfill.runs.run_executor import RunExecutor
from services.backfill.runs.run_schedule import RunSchedule
from services.backfill.runs.run_worker import CannotBeginError, RunWorker
from shared.contract.ids import Platform
from shared.domain.runs import Run, RunState
from shared.runtime.clock import utc_now
from shared.runtime.metrics import BackfillMetrics
from shared.store.mongo import ConnectionFailure
from shared.store.runs import ActiveRunError, RunStore

Execute = Callable[[Run, asyncio.Event], Awaitable[Run]]


def queued(run_id: str) -> Run:
    return Run(
        run_id=run_id, platform=Platform.MESSENGER, account_id=run_id, state=RunState.RUNNING, created_at=utc_now()
    )


class MemoryRuns(RunStore):
    """`left` has the runs that can be claimed; an exception in it is raised."""

    def __init__(self, *left: Run | Exception) -> None:
        self.left = list(left)
        self.saved: list[Run] = []

    async def claim(self) -> Run | None:
        claimed = self.left.pop(0) if self.left else None
        if isinstance(claimed, Exception):
            raise claimed
        return claimed

    async def save(self, run: Run) -> bool:
        self.saved.append(run)
        return False


class Idle(RunSchedule):
    async def enqueue_due(self) -> None:
        pass


class Stage:
    """A worker whose runs do what `acts` says; `stopped` has the runs that were stopped."""

    def __init__(self, runs: MemoryRuns, acts: dict[str, Exception | None], at_once: int = 8) -> None:
        self.acts, self.begun, self.stopped = acts, list[str](), list[str]()
        self.stop = asyncio.Event()
        self.metrics = BackfillMetrics()
        idle = Idle(*cast(tuple[Any, Any, Any], (None, None, None)))
        self.worker = RunWorker(runs, idle, self.executor_for, at_once, utc_now, self.metrics)

    async def executor_for(self, run: Run) -> RunExecutor:
        act = self.acts.get(run.run_id)
        if isinstance(act, CannotBeginError):
            raise act
        return cast(RunExecutor, SimpleNamespace(execute=self.execute))

    async def execute(self, run: Run, stop: asyncio.Event) -> Run:
        """Run the act of the run; without one it reads until it is stopped."""
        self.begun.append(run.run_id)
        if run.run_id not in self.acts:
            await stop.wait()
            self.stopped.append(run.run_id)
            return run.model_copy(update={"state": RunState.QUEUED})
        if act := self.acts[run.run_id]:
            raise act
        return run.model_copy(update={"state": RunState.COMPLETED})

    async def work_until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            working = asyncio.create_task(self.worker.work(self.stop))
            while not holds() and not working.done():
                await asyncio.sleep(0)
            self.stop.set()
            await working


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLAIM_EVERY_SECONDS", 0.001)


async def test_a_worker_keeps_to_its_maximum_of_runs_and_requeues_all_when_stopped() -> None:
    runs = MemoryRuns(*map(queued, "abcd"))
    stage = Stage(runs, {"a": None}, at_once=2)
    await stage.work_until(lambda: len(stage.begun) == 3)
    assert (stage.begun, sorted(stage.stopped)) == (["a", "b", "c"], ["b", "c"])
    assert [run.run_id for run in runs.left if isinstance(run, Run)] == ["d"]
    rendered = stage.metrics.render()[0].decode()
    assert 'leadstream_backfill_runs_total{state="COMPLETED"} 1.0' in rendered
    assert 'leadstream_backfill_runs_total{state="QUEUED"} 2.0' in rendered


async def test_an_unexpected_error_in_one_run_stops_the_others_and_ends_the_worker() -> None:
    stage = Stage(MemoryRuns(queued("a"), queued("bad"), queued("b")), {"bad": ZeroDivisionError()})
    with pytest.raises(ZeroDivisionError):
        await stage.work_until(lambda: False)
    assert sorted(stage.stopped) == ["a", "b"]


@pytest.mark.parametrize("error", [ActiveRunError(), ConnectionFailure()])
async def test_a_lost_run_does_not_affect_the_others(error: Exception) -> None:
    stage = Stage(MemoryRuns(queued("lost"), queued("good")), {"lost": error, "good": None})
    await stage.work_until(lambda: stage.begun == ["lost", "good"])
    assert b'{state="COMPLETED"} 1.0' in stage.metrics.render()[0]


async def test_a_claim_is_retried_while_the_database_is_away() -> None:
    stage = Stage(MemoryRuns(ConnectionFailure(), queued("a")), {"a": None})
    await stage.work_until(lambda: stage.begun == ["a"])


async def test_a_run_that_cannot_begin_is_failed_with_advice() -> None:
    runs = MemoryRuns(queued("a"), queued("b"))
    stage = Stage(runs, {"a": CannotBeginError("the account was removed"), "b": None})
    await stage.work_until(lambda: stage.begun == ["b"])
    (failed,) = runs.saved
    assert (failed.run_id, failed.state, failed.reason) == ("a", RunState.FAILED, "the account was removed")
