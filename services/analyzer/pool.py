"""Several conversations in work at once, so that a slow model holds up only its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from services.analyzer.holding import hold
from services.analyzer.queue import Claim, LeaseLostError, Queue
from shared.kafka import KafkaError
from shared.metrics import AnalyzerMetrics
from shared.mongo import ConnectionFailure

IDLE_SECONDS = 0.25
"""How often an idle pool looks for what has become due; what is due at once wakes it."""

Work = Callable[[Claim], Awaitable[None]]

log = structlog.get_logger()


class Pool:
    def __init__(
        self, queue: Queue, work: Work, parallelism: int, changed: asyncio.Event, metrics: AnalyzerMetrics
    ) -> None:
        self._queue = queue
        self._work = work
        self._parallelism = parallelism
        self._changed = changed
        self._metrics = metrics
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then finishes what is begun."""
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                self._changed.clear()
                claims = await self._claim(self._parallelism - len(self._running))
                for claim in claims:
                    task = group.create_task(self._hold(claim))
                    self._running.add(task)
                    task.add_done_callback(self._done)
                if not claims:
                    await self._pause()

    async def _claim(self, free: int) -> list[Claim]:
        return await hold(lambda: self._queue.claim(free), ConnectionFailure) if free else []

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_SECONDS):
                await self._changed.wait()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._changed.set()

    async def _hold(self, claim: Claim) -> None:
        """Works under a lease that is renewed meanwhile.

        A server that is away ends the attempt. The lease is then left to run out, as after a crash: that is the pause
        before the next attempt, by whichever instance.
        """
        with self._metrics.in_work.track_inprogress():
            try:
                async with asyncio.TaskGroup() as group:
                    renewing = group.create_task(self._queue.keep(claim))
                    await self._work(claim)
                    await self._queue.finish(claim)
                    renewing.cancel()
            except* LeaseLostError:
                log.warning("lease_lost", contact_id=claim.contact_id, fence=claim.fence)
            except* (ConnectionFailure, KafkaError) as errors:
                name = type(errors.exceptions[0]).__name__
                log.warning("attempt_failed", contact_id=claim.contact_id, error=name)
