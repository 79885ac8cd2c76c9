"""Executes one run: sends heartbeats while the crawl reads, then stores the final state."""

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
"""How long a crawl may take to stop. One that takes longer is abandoned; a last publish of it is harmless."""

log = structlog.get_logger()


@dataclass(slots=True)
class RunExecutor:
    """Executes one run of `crawl`. When the process is stopped, the run is requeued if `requeues_on_stop`, else
    CANCELLED. `lease_guard` guards what the crawl publishes.
    """

    crawl: Crawl
    store: RunStore
    requeues_on_stop: bool = False
    lease_guard: LeaseGuard = field(default_factory=LeaseGuard)
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    lost_after_seconds: float = RUN_LEASE.total_seconds() - HEARTBEAT_SECONDS

    async def execute(self, run: Run, stop: asyncio.Event) -> Run:
        """Return the run as it was stored: in its final state, or QUEUED when it was requeued.

        ActiveRunError, without a write, when another process has the run, or may have it because no heartbeat was
        written for too long. ConnectionFailure of the database requeues it. Any other exception of the crawl makes it
        FAILED.
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
        """Keep the published events and the calls of earlier processes; conversations are counted again."""
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
        """Return when cancellation is requested. ActiveRunError once another process may have the run."""
        while True:
            try:
                async with asyncio.timeout(self.lost_after_seconds):
                    is_cancelled = await self._save_until_written(run)
            except TimeoutError:
                raise ActiveRunError(f"run {run.run_id} could not be written for too long") from None
            if is_cancelled:
                return
            await asyncio.sleep(self.heartbeat_seconds)

    async def _save_until_written(self, run: Run) -> bool:
        while True:
            sent_at = self.lease_guard.now()
            try:
                is_cancelled = await self.store.save(self._now(run))
            except ConnectionFailure as error:
                log.warning("run_not_written", run_id=run.run_id, error=type(error).__name__)
            else:
                self.lease_guard.extend(sent_at)
                return is_cancelled
            await asyncio.sleep(self.heartbeat_seconds)

    async def _finish(self, run: Run, reading: asyncio.Task[None], heartbeats: asyncio.Task[None]) -> Run:
        heartbeats_ended = heartbeats.done() and not heartbeats.cancelled()
        if heartbeats_ended and (lost := heartbeats.exception()):
            raise lost
        if reading.done() and not reading.cancelled():
            return await self._as_read(run, reading.exception())
        if heartbeats_ended:
            return await self._save(run, RunState.CANCELLED, CANCELLED_BY_OPERATOR)
        if not self.requeues_on_stop:
            return await self._save(run, RunState.CANCELLED, "interrupted by the operator")
        return await self._requeue(run)

    async def _as_read(self, run: Run, error: BaseException | None) -> Run:
        """Store the state that the crawl's outcome calls for."""
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
    """Say what was not read in full. A conversation that is gone may be one that the token may not see: Facebook's
    100/33 does not say which.
    """
    unread = {"failed": counters.conversations_failed, "gone": counters.conversations_gone}
    return ", ".join(f"{number} conversations {what}" for what, number in unread.items() if number) or None
