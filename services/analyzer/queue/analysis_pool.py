"""Works on groups of conversations: as many together as are due, and none waits for a group to fill.

A conversation that waits for the AI or the broker holds up no other: it waits for the AI alone, and conversations that
are written and wait to be published take no slot of the analysis, until the process holds `MAX_HELD`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog

from services.analyzer.queue.analysis_worker import AnalysisOutcome, AnalysisWorker, ConversationSnapshot
from services.analyzer.queue.claim_queue import Claim, ClaimQueue
from shared.bus.producer import KafkaError
from shared.runtime.metrics import AnalyzerMetrics
from shared.runtime.retry import retry_until_stopped
from shared.store.ai_retry_queue import AIRetryQueue
from shared.store.mongo import ConnectionFailure

IDLE_SECONDS = 0.25
"""How often an idle pool reads what has become due. Conversations that are due at once wake it."""
MAX_GROUP_SIZE = 25
"""Conversations in a group. SecantusDB is fastest with about as many; a larger group takes more memory."""
MAX_GROUPS = 4
"""Groups in analysis at once without an AI: the database works on some while others are scored."""
MAX_HELD = 1_000
"""Conversations that one process holds, however many of them wait to be published."""

log = structlog.get_logger()


class AnalysisPool:
    """`ai_retries_per_minute` limits how many of the fallback's analyses the AI repeats: one after the other, only
    while no more than half of `parallelism` is used, and never while other work is due."""

    def __init__(
        self,
        queue: ClaimQueue,
        ai_retries: AIRetryQueue,
        worker: AnalysisWorker,
        parallelism: int,
        ai_retries_per_minute: float,
        metrics: AnalyzerMetrics,
    ) -> None:
        self._queue = queue
        self._ai_retries = ai_retries
        self._worker = worker
        self._parallelism = parallelism
        has_retries = worker.has_ai and ai_retries_per_minute
        self._ai_retry_interval_seconds = 60 / ai_retries_per_minute if has_retries else None
        self._next_ai_retry = 0.0
        self._analysing: dict[str, str] = {}
        self._is_full = False
        self._is_drained = False
        self._large = asyncio.Lock()
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._metrics = metrics

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`, then finish the work in progress."""
        async with asyncio.TaskGroup() as renewals:
            renewing = renewals.create_task(self._renew())
            async with asyncio.TaskGroup() as group:
                while not stop.is_set():
                    self._changed.clear()
                    self._is_drained = False
                    claims = await retry_until_stopped(self._claim, ConnectionFailure)
                    if claims:
                        self._idle.clear()
                        self._analysing.update((claim.contact_id, claim.group) for claim in claims)
                        group.create_task(self._work(claims))
                    if self._is_drained:
                        await self._pause()
            renewing.cancel()

    def notify_written(self, keys: Iterable[str]) -> None:
        """Take note that these conversations were marked pending: those that are due at once are claimed at once."""
        self._queue.notify_written(keys)
        self._changed.set()
        self._idle.clear()

    async def until_idle(self) -> None:
        """Return when nothing is in progress and nothing more is known to be due.

        With an AI it returns at once: waiting for the AI leaves the database time enough.
        """
        if not self._worker.has_ai:
            await self._idle.wait()

    async def _claim(self) -> list[Claim]:
        room = min(MAX_GROUP_SIZE, self._free_slots(), MAX_HELD - self._queue.held)
        self._is_full = room <= 0
        claims = [] if self._is_full else await self._queue.claim(room)
        self._is_drained = len(claims) < max(1, room)
        if not claims and 2 * len(self._analysing) <= self._parallelism and self._may_retry_ai():
            claims = await self._claim_ai_retry()
            self._is_drained = not claims
        self._metrics.in_work.set(self._queue.held)
        return claims

    def _free_slots(self) -> int:
        """Return how many more conversations may be analysed. Without an AI groups are counted, not conversations: they
        fill up when the database is slow."""
        if self._worker.has_ai:
            return self._parallelism - len(self._analysing)
        return MAX_GROUP_SIZE if len(set(self._analysing.values())) < MAX_GROUPS else 0

    async def _claim_ai_retry(self) -> list[Claim]:
        claims = await self._queue.claim_these(await self._ai_retries.due(1))
        for claim in claims:
            claim.is_ai_retry = True
        return claims

    def _may_retry_ai(self) -> bool:
        now = time.monotonic()
        if self._ai_retry_interval_seconds is None or now < self._next_ai_retry:
            return False
        self._next_ai_retry = now + self._ai_retry_interval_seconds
        return True

    async def _pause(self) -> None:
        self._set_if_idle()
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_SECONDS):
                await self._changed.wait()

    async def _renew(self) -> None:
        """Renew leases. When the database is away it is tried again; a lease that is not renewed in time is lost."""
        while True:
            await asyncio.sleep(self._queue.lease_seconds / 6)
            with suppress(ConnectionFailure):
                await self._queue.renew()

    async def _work(self, claims: Sequence[Claim]) -> None:
        with self._attempt(claims):
            snapshots = await self._worker.read(claims)
            if snapshots is None:
                await self._work_one_by_one(claims)
                return
            parts = self._parts(snapshots)
            snapshots.clear()
            async with asyncio.TaskGroup() as group:
                while parts:
                    group.create_task(self._complete(parts.pop()))

    def _parts(self, snapshots: Sequence[ConversationSnapshot]) -> list[list[ConversationSnapshot]]:
        """Return what continues together, and each conversation that waits for the AI by itself."""
        slow = [each for each in snapshots if self._worker.waits_for_ai(each)]
        return [[each for each in snapshots if each not in slow], *([each] for each in slow)]

    async def _work_one_by_one(self, claims: Sequence[Claim]) -> None:
        """Work on conversations that are too large to be read together, with one in memory at a time."""
        for claim in claims:
            async with self._large:
                await self._complete(await self._worker.read([claim], None) or [])

    async def _complete(self, snapshots: list[ConversationSnapshot]) -> None:
        """Before it waits for the broker it drops what was read and frees the slots of the analysis."""
        claims = [each.claim for each in snapshots]
        with self._attempt(claims):
            recorded = await self._worker.record(snapshots)
            snapshots.clear()
            self._free(claims)
            await self._finish(await self._worker.publish(recorded))

    async def _finish(self, published: Sequence[AnalysisOutcome]) -> None:
        """Queue the retries by the AI first, then finish the claims."""
        if self._worker.has_ai:
            for has_failed in (True, False):
                retries = [each.claim for each in published if each.needs_ai_retry]
                keys = [claim.contact_id for claim in retries if claim.is_ai_retry == has_failed]
                await self._ai_retries.put(keys, has_failed=has_failed)
            await self._ai_retries.drop([each.claim.contact_id for each in published if not each.needs_ai_retry])
        for is_answered in (True, False):
            claims = [each.claim for each in published if each.is_unanswered != is_answered]
            await self._queue.finish_all(claims, is_answered=is_answered)

    @contextmanager
    def _attempt(self, claims: Sequence[Claim]) -> Iterator[None]:
        """End an attempt when a server is away.

        Its leases then expire, as after a crash: that is the pause before the next attempt, by any instance. A
        cancelled attempt keeps its claims, to be released.
        """
        try:
            yield
        except (ConnectionFailure, KafkaError) as error:
            for claim in claims:
                log.warning("attempt_failed", contact_id=claim.contact_id, error=type(error).__name__)
        self._queue.forget_claims(claims)
        self._free(claims)
        self._set_if_idle()

    def _set_if_idle(self) -> None:
        if not self._queue.held and self._is_drained and not self._changed.is_set():
            self._idle.set()

    def _free(self, claims: Sequence[Claim]) -> None:
        """Free the slots of these claims. A pool that was full claims again."""
        for claim in claims:
            self._analysing.pop(claim.contact_id, None)
        if self._is_full:
            self._changed.set()
