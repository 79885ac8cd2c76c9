"""One run from its claim to its end: heartbeats while the crawl reads, then the state that is true."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import structlog

from services.backfill.crawl.crawl import AccountStoppedError, Crawl
from services.backfill.runs.lease_guard import Fence
from shared.domain.runs import RUN_LEASE, Run, RunCounters, RunState
from shared.store.mongo import ConnectionFailure
from shared.store.runs import CANCELLED_BY_OPERATOR, ActiveRunError, RunStore

HEARTBEAT_SECONDS = 1.0
STOP_SECONDS = 4.0
"""What a crawl gets to stop in. One that takes longer is left behind: it may publish once more, which harms nobody."""

log = structlog.get_logger()


@dataclass(slots=True)
class Runner:
    """Does one run of `crawl`'s account. `gives_back` says what becomes of a run whose process is told to stop:
    queued again for another, or CANCELLED. `fence` guards what the crawl publishes.
    """

    crawl: Crawl
    store: RunStore
    gives_back: bool = False
    fence: Fence = field(default_factory=Fence)
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    lost_after_seconds: float = RUN_LEASE.total_seconds() - HEARTBEAT_SECONDS

    async def execute(self, begun: Run, stop: asyncio.Event) -> Run:
        """The run in its final state, or QUEUED when it was given back; either is stored.

        ActiveRunError when it became another process's, or could not be written for so long that it may have: nothing
        is written then. Any other exception of the crawl leaves it FAILED; ConnectionFailure, of the database, leaves
        it to whoever comes next.
        """
        self._go_on_from(begun)
        reading = asyncio.create_task(self.crawl.read(begun.run_id))
        heart = asyncio.create_task(self._beat(begun))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({reading, heart, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(heart, stopping, reading)
        return await self._settle(begun, reading, heart)

    def _go_on_from(self, begun: Run) -> None:
        """What others had published and called for it stays counted; conversations are counted anew."""
        self.crawl.is_anew = begun.is_anew
        counted = begun.counters.model_dump(include={"messages_published", "messages_unavailable"})
        self.crawl.tally.add(**counted)
        self.crawl.client.calls = begun.counters.calls

    def _now(self, begun: Run, **end: Any) -> Run:
        tally = self.crawl.tally
        counters = tally.counters.model_copy(update={"calls": self.crawl.client.calls})
        seen = {"failures": tuple(tally.failures), "throttled_until": tally.throttled_until}
        return begun.model_copy(update={"counters": counters, **seen, **end})

    async def _beat(self, begun: Run) -> None:
        """Returns when somebody asks for the run's cancellation. ActiveRunError once it may be another's."""
        while True:
            try:
                async with asyncio.timeout(self.lost_after_seconds):
                    asked = await self._save_in_the_end(begun)
            except TimeoutError:
                raise ActiveRunError(f"run {begun.run_id} could not be written for too long") from None
            if asked:
                return
            await asyncio.sleep(self.heartbeat_seconds)

    async def _save_in_the_end(self, begun: Run) -> bool:
        while True:
            beat_at = self.fence.now()
            try:
                asked = await self.store.save(self._now(begun))
            except ConnectionFailure as error:
                log.warning("run_not_written", run_id=begun.run_id, error=type(error).__name__)
            else:
                self.fence.extend(beat_at)
                return asked
            await asyncio.sleep(self.heartbeat_seconds)

    async def _settle(self, begun: Run, reading: asyncio.Task[None], heart: asyncio.Task[None]) -> Run:
        has_beaten_last = heart.done() and not heart.cancelled()
        if has_beaten_last and (lost := heart.exception()):
            raise lost
        if reading.done() and not reading.cancelled():
            return await self._as_read(begun, reading.exception())
        if has_beaten_last:
            return await self._save(begun, RunState.CANCELLED, CANCELLED_BY_OPERATOR)
        if not self.gives_back:
            return await self._save(begun, RunState.CANCELLED, "interrupted by the operator")
        return await self._give_back(begun)

    async def _as_read(self, begun: Run, error: BaseException | None) -> Run:
        """What the crawl came to."""
        match error:
            case None:
                reason = _unread(self.crawl.tally.counters)
                return await self._save(begun, RunState.PARTIAL if reason else RunState.COMPLETED, reason)
            case AccountStoppedError():
                return await self._save(begun, RunState.FAILED, str(error), is_warned=error.is_warned)
            case ConnectionFailure():
                await self._give_back(begun)
            case ActiveRunError():
                pass
            case _:
                await self._save(begun, RunState.FAILED, "the process failed; its log says why")
        raise error

    async def _save(self, begun: Run, state: RunState, reason: str | None, **more: Any) -> Run:
        end = {"state": state, "reason": reason, "finished_at": self.crawl.clock(), "throttled_until": None, **more}
        ended = self._now(begun, **end)
        await self.store.save(ended)
        return ended

    async def _give_back(self, begun: Run) -> Run:
        queued = self._now(begun, state=RunState.QUEUED)
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
