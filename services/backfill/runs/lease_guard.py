"""What keeps a process that has lost its run from publishing and writing: its own clock, and no word to anyone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.backfill.crawl.conversation_reader import PublishEvents
from shared.contract.encoded_events import EncodedEvent
from shared.domain.runs import RUN_LEASE
from shared.store.runs import ActiveRunError


@dataclass(slots=True)
class LeaseGuard:
    """Open for as long as nobody else can have taken the run: a lease from when the last heartbeat was on its way.

    A process that stood still for longer (stopped, swapped out) finds it shut before it has asked anyone.
    """

    now: Callable[[], float] = time.monotonic
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        self.extend(self.now())

    def extend(self, beat_at: float) -> None:
        """A heartbeat that was written; `beat_at` is when it was sent."""
        self._until = beat_at + RUN_LEASE.total_seconds()

    def require_lease(self) -> None:
        """ActiveRunError where it is shut."""
        if self.now() >= self._until:
            raise ActiveRunError("the run was not heard of for too long; it may be another's by now")

    def guard(self, publish: PublishEvents) -> PublishEvents:
        """`publish`, but ActiveRunError where the fence is shut."""

        async def guarded(events: Sequence[EncodedEvent]) -> None:
            self.require_lease()
            await publish(events)

        return guarded
