"""Stops a process that has lost its run from publishing and writing, by the process's own clock."""

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
    """Says whether the run is certainly ours: for one lease after the last successful heartbeat was sent.

    A process that was suspended for longer (stopped, swapped out) sees that before it contacts any server.
    """

    now: Callable[[], float] = time.monotonic
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        self.extend(self.now())

    def extend(self, sent_at: float) -> None:
        """Record a heartbeat that was written; `sent_at` is when it was sent."""
        self._until = sent_at + RUN_LEASE.total_seconds()

    def require_lease(self) -> None:
        """Raise ActiveRunError once the lease may have ended."""
        if self.now() >= self._until:
            raise ActiveRunError("the run had no heartbeat for too long; another process may have it")

    def guard(self, publish: PublishEvents) -> PublishEvents:
        """Return `publish`, which raises ActiveRunError once the lease may have ended."""

        async def guarded(events: Sequence[EncodedEvent]) -> None:
            self.require_lease()
            await publish(events)

        return guarded
