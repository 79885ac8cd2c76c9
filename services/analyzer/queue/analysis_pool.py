"""Groups of conversations in work at once: as many together as wait, and none waits for a group to fill.

What waits for the AI or for the broker holds up nothing else: who waits for the AI goes on alone, and what is written
and waits to be published is in nobody's way until there are `MAX_HELD` of it.
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
"""How often an idle pool looks for what has become due; what is due at once wakes it."""
MAX_GROUP_SIZE = 25
"""Conversations in a group. SecantusDB is fastest with about as many; a larger one holds more in memory."""
MAX_GROUPS = 4
"""Groups in analysis at once where there is no AI: the database works at some while others are scored."""
MAX_HELD = 1_000
"""Conversations that one process has at the most, however many of them wait to be published."""

log = structlog.get_logger()


class AnalysisPool:
    """`again_per_minute` is how many of the fallback's analyses may be given to the AI again: one after the other, in
    no more than half of `parallelism`, and none while there is fresh work."""

    def __init__(
        self,
        queue: ClaimQueue,
        again: AIRetryQueue,
        worker: AnalysisWorker,
        parallelism: int,
        again_per_minute: float,
        metrics: AnalyzerMetrics,
    ) -> None:
        self._queue = queue
        self._again = again
        self._worker = worker
        self._parallelism = parallelism
        self._again_seconds = 60 / again_per_minute if worker.has_ai and again_per_minute else None
        self._next_again = 0.0
        self._analysing: dict[str, str] = {}
        self._is_full = False
        self._is_drained = False
        self._large = asyncio.Lock()
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._metrics = metrics

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then finishes what is begun."""
        async with asyncio.TaskGroup() as keeping:
            renewing = keeping.create_task(self._renew())
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
        """Something was told of these conversations: what is due at once does not wait for the next look."""
        self._queue.notify_written(keys)
        self._changed.set()
        self._idle.clear()

    async def until_idle(self) -> None:
        """Returns when nothing is in work, and nothing more is known of that is due. At once where an AI is waited for,
        which gives the database rest enough."""
        if not self._worker.has_ai:
            await self._idle.wait()

    async def _claim(self) -> list[Claim]:
        room = min(MAX_GROUP_SIZE, self._free(), MAX_HELD - self._queue.held)
        self._is_full = room <= 0
        claims = [] if self._is_full else await self._queue.claim(room)
        self._is_drained = len(claims) < max(1, room)
        if not claims and 2 * len(self._analysing) <= self._parallelism and self._may_ask_again():
            claims = await self._claim_again()
            self._is_drained = not claims
        self._metrics.in_work.set(self._queue.held)
        return claims

    def _free(self) -> int:
        """How many more may be in analysis. Without an AI so many groups: they grow when the database is slow."""
        if self._worker.has_ai:
            return self._parallelism - len(self._analysing)
        return MAX_GROUP_SIZE if len(set(self._analysing.values())) < MAX_GROUPS else 0

    async def _claim_again(self) -> list[Claim]:
        claims = await self._queue.claim_these(await self._again.due(1))
        for claim in claims:
            claim.is_ai_retry = True
        return claims

    def _may_ask_again(self) -> bool:
        now = time.monotonic()
        if self._again_seconds is None or now < self._next_again:
            return False
        self._next_again = now + self._again_seconds
        return True

    async def _pause(self) -> None:
        self._tell_if_idle()
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_SECONDS):
                await self._changed.wait()

    async def _renew(self) -> None:
        """A server that is away is asked again: a lease that cannot be renewed in time is lost."""
        while True:
            await asyncio.sleep(self._queue.lease_seconds / 6)
            with suppress(ConnectionFailure):
                await self._queue.renew()

    async def _work(self, claims: Sequence[Claim]) -> None:
        with self._attempt(claims):
            looks = await self._worker.read(claims)
            if looks is None:
                await self._work_alone(claims)
                return
            parts = self._parts(looks)
            looks.clear()
            async with asyncio.TaskGroup() as group:
                while parts:
                    group.create_task(self._complete(parts.pop()))

    def _parts(self, looks: Sequence[ConversationSnapshot]) -> list[list[ConversationSnapshot]]:
        """What goes on together: each that has to wait for the AI goes alone."""
        slow = [look for look in looks if self._worker.is_slow(look)]
        return [[look for look in looks if look not in slow], *([look] for look in slow)]

    async def _work_alone(self, claims: Sequence[Claim]) -> None:
        """Of conversations that are too large to be read together one is in memory at a time."""
        for claim in claims:
            async with self._large:
                await self._complete(await self._worker.read([claim], None) or [])

    async def _complete(self, looks: list[ConversationSnapshot]) -> None:
        """What was read is let go of, and the analysis is others' turn, before it waits for the broker."""
        claims = [look.claim for look in looks]
        with self._attempt(claims):
            recorded = await self._worker.record(looks)
            looks.clear()
            self._leave(claims)
            told = await self._worker.tell(recorded)
            await self._finish(told)

    async def _finish(self, told: Sequence[AnalysisOutcome]) -> None:
        """What the AI has not scored, though it should, is left for it first."""
        if self._worker.has_ai:
            for in_vain in (True, False):
                left = [each.claim for each in told if each.is_left_to_ai and each.claim.is_ai_retry == in_vain]
                await self._again.put([claim.contact_id for claim in left], in_vain=in_vain)
            await self._again.drop([each.claim.contact_id for each in told if not each.is_left_to_ai])
        for is_answered in (True, False):
            claims = [each.claim for each in told if each.is_unanswered != is_answered]
            await self._queue.finish_all(claims, is_answered=is_answered)

    @contextmanager
    def _attempt(self, claims: Sequence[Claim]) -> Iterator[None]:
        """A server that is away ends an attempt. Its leases are then left to run out, as after a crash: that is the
        pause before the next one, by whichever instance. What is cancelled keeps them, to be given back."""
        try:
            yield
        except (ConnectionFailure, KafkaError) as error:
            for claim in claims:
                log.warning("attempt_failed", contact_id=claim.contact_id, error=type(error).__name__)
        self._queue.forget_claims(claims)
        self._leave(claims)
        self._tell_if_idle()

    def _tell_if_idle(self) -> None:
        if not self._queue.held and self._is_drained and not self._changed.is_set():
            self._idle.set()

    def _leave(self, claims: Sequence[Claim]) -> None:
        """Their slots are others' from now on. Only a pool that was full has to be told."""
        for claim in claims:
            self._analysing.pop(claim.contact_id, None)
        if self._is_full:
            self._changed.set()
