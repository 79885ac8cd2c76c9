"""One run from its claim to its end: heartbeats while the crawl reads, then the state that is true."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import structlog

from services.backfill.crawl.crawl import AccountStoppedError, Crawl
from services.backfill.runs.lease_guard import LeaseGuard
from shared.domain.runs import RUN_LEASE, Run, RunCounters, RunState
from shared.store.mongo import ConnectionFailure
from shared.store.runs import CANCELLED_BY_OPERATOR, ActiveRunError, RunStore

HEARTBEAT_SECONDS = 1.0
STOP_SECONDS = 4.0
"""What a crawl gets to stop in. One that takes longer is left behind: it may publish once more, which harms nobody."""

log = structlog.get_logger()


@dataclass(slots=True)
class RunExecutor:
    """Does one run of `crawl`'s account. `requeues_on_stop` says what becomes of a run whose process is told to stop:
    queued again for another, or CANCELLED. `lease_guard` guards what the crawl publishes.
    """

    crawl: Crawl
    store: RunStore
    requeues_on_stop: bool = False
    lease_guard: LeaseGuard = field(default_factory=LeaseGuard)
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    lost_after_seconds: float = RUN_LEASE.total_seconds() - HEARTBEAT_SECONDS

    async def execute(self, run: Run, stop: asyncio.Event) -> Run:
        """The run in its final state, or QUEUED when it was given back; either is stored.

        ActiveRunError when it became another process's, or could not be written for so long that it may have: nothing
        is written then. Any other exception of the crawl leaves it FAILED; ConnectionFailure, of the database, leaves
        it to whoever comes next.
        """
        self._resume_from(run)
        reading = asyncio.create_task(self.crawl.read(run.run_id))
        heartbeats = asyncio.create_task(self._send_heartbeats(run))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({reading, heartbeats, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(heartbeats, stopping, reading)
        return await self._finish(run, reading, heartbeats)

    def _resume_from(self, run: Run) -> None:
        """What others had published and called for it stays counted; conversations are counted anew."""
        self.crawl.is_anew = run.is_anew
        counted = run.counters.model_dump(include={"messages_published", "messages_unavailable"})
        self.crawl.progress.add(**counted)
        self.crawl.client.calls = run.counters.calls

    def _now(self, run: Run, **end: Any) -> Run:
        progress = self.crawl.progress
        counters = progress.counters.model_copy(update={"calls": self.crawl.client.calls})
        seen = {"failures": tuple(progress.failures), "throttled_until": progress.throttled_until}
        return run.model_copy(update={"counters": counters, **seen, **end})

    async def _send_heartbeats(self, run: Run) -> None:
        """Returns when somebody asks for the run's cancellation. ActiveRunError once it may be another's."""
        while True:
            try:
                async with asyncio.timeout(self.lost_after_seconds):
                    asked = await self._save_until_written(run)
            except TimeoutError:
                raise ActiveRunError(f"run {run.run_id} could not be written for too long") from None
            if asked:
                return
            await asyncio.sleep(self.heartbeat_seconds)

    async def _save_until_written(self, run: Run) -> bool:
        while True:
            beat_at = self.lease_guard.now()
            try:
                asked = await self.store.save(self._now(run))
            except ConnectionFailure as error:
                log.warning("run_not_written", run_id=run.run_id, error=type(error).__name__)
            else:
                self.lease_guard.extend(beat_at)
                return asked
            await asyncio.sleep(self.heartbeat_seconds)

    async def _finish(self, run: Run, reading: asyncio.Task[None], heartbeats: asyncio.Task[None]) -> Run:
        has_beaten_last = heartbeats.done() and not heartbeats.cancelled()
        if has_beaten_last and (lost := heartbeats.exception()):
            raise lost
        if reading.done() and not reading.cancelled():
            return await self._as_read(run, reading.exception())
        if has_beaten_last:
            return await self._save(run, RunState.CANCELLED, CANCELLED_BY_OPERATOR)
        if not self.requeues_on_stop:
            return await self._save(run, RunState.CANCELLED, "interrupted by the operator")
        return await self._requeue(run)

    async def _as_read(self, run: Run, error: BaseException | None) -> Run:
        """What the crawl came to."""
        match error:
            case None:
                reason = _unread(self.crawl.progress.counters)
                return await self._save(run, RunState.PARTIAL if reason else RunState.COMPLETED, reason)
            case AccountStoppedError():
                return await self._save(run, RunState.FAILED, str(error), is_warned=error.is_warned)
            case ConnectionFailure():
                await self._requeue(run)
            case ActiveRunError():
                pass
            case _:
                await self._save(run, RunState.FAILED, "the process failed; its log says why")
        raise error

    async def _save(self, run: Run, state: RunState, reason: str | None, **more: Any) -> Run:
        end = {"state": state, "reason": reason, "finished_at": self.crawl.clock(), "throttled_until": None, **more}
        ended = self._now(run, **end)
        await self.store.save(ended)
        return ended

    async def _requeue(self, run: Run) -> Run:
        queued = self._now(run, state=RunState.QUEUED)
        await self.store.give_back(queued)
        return queued


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    _, unfinished = await asyncio.wait(tasks, timeout=STOP_SECONDS)
    if unfinished:
        log.warning("crawl_left_behind")


def _unread(counters: RunCounters) -> str | None:
    """What was not read in full. One that is gone may be one that the token may not see (FACEBOOK.md §4.3, 100/33)."""
    told = {"failed": counters.conversations_failed, "gone": counters.conversations_gone}
    return ", ".join(f"{number} conversations {what}" for what, number in told.items() if number) or None
