"""The worker: claims runs and executes several at once until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from services.backfill.runs.run_executor import RunExecutor
from services.backfill.runs.run_schedule import RunSchedule
from shared.domain.runs import Run, RunState
from shared.runtime.clock import Clock
from shared.runtime.metrics import BackfillMetrics
from shared.store.mongo import ConnectionFailure
from shared.store.runs import ActiveRunError, RunStore

CLAIM_EVERY_SECONDS = 1.0
SCHEDULE_EVERY_SECONDS = 5.0

log = structlog.get_logger()


class CannotBeginError(Exception):
    """The run cannot start; the message says what the operator must do."""


@dataclass(slots=True)
class RunWorker:
    """Executes at most `max_runs` runs at a time. `executor_for` composes one; CannotBeginError fails its run."""

    runs: RunStore
    schedule: RunSchedule
    executor_for: Callable[[Run], Awaitable[RunExecutor]]
    max_runs: int
    clock: Clock
    metrics: BackfillMetrics
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def work(self, stop: asyncio.Event) -> None:
        """Return once every run is requeued after `stop`. An unexpected exception in one run has the same effect and
        is then raised, so that the supervisor starts another worker.
        """
        scheduling = asyncio.create_task(self._schedule())
        try:
            while not stop.is_set() and not scheduling.done():
                await self._fill(stop)
                await self._wait(stop, scheduling)
        finally:
            stop.set()
            scheduling.cancel()
            ended = await asyncio.gather(scheduling, *self._tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _fill(self, stop: asyncio.Event) -> None:
        """Claim runs until none is left or `max_runs` are executing."""
        try:
            while len(self._tasks) < self.max_runs and not stop.is_set() and (run := await self.runs.claim()):
                log.info("run_claimed", run_id=run.run_id, account_id=run.account_id)
                self._tasks.add(asyncio.create_task(self._do(run, stop)))
        except ConnectionFailure as error:
            log.warning("database_unreachable", error=type(error).__name__)

    async def _wait(self, stop: asyncio.Event, scheduling: asyncio.Task[None]) -> None:
        """Wait for a run to end, for the stop, or until it is time to claim again."""
        stopping = asyncio.create_task(stop.wait())
        watched = {stopping, scheduling, *self._tasks}
        ended, _ = await asyncio.wait(watched, timeout=CLAIM_EVERY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in self._tasks & ended:
            self._tasks.remove(task)
            task.result()
        self.metrics.in_work.set(len(self._tasks))

    async def _do(self, run: Run, stop: asyncio.Event) -> None:
        try:
            end = await self._end(run, stop)
        except (ActiveRunError, ConnectionFailure) as error:
            log.warning("run_lost", run_id=run.run_id, error=type(error).__name__, detail=str(error))
        else:
            fields = end.model_dump(include={"run_id", "account_id", "state", "reason"}) | end.counters.model_dump()
            log.info("run_given_back" if end.state is RunState.QUEUED else "run_ended", **fields)
            self.metrics.runs[end.state].inc()

    async def _end(self, run: Run, stop: asyncio.Event) -> Run:
        try:
            executor = await self.executor_for(run)
        except CannotBeginError as error:
            end = {"state": RunState.FAILED, "reason": str(error), "finished_at": self.clock()}
            failed = run.model_copy(update=end)
            await self.runs.save(failed)
            return failed
        return await executor.execute(run, stop)

    async def _schedule(self) -> None:
        while True:
            try:
                await self.schedule.enqueue_due()
            except ConnectionFailure as error:
                log.warning("database_unreachable", error=type(error).__name__)
            await asyncio.sleep(SCHEDULE_EVERY_SECONDS)
