"""How far a run has come, as a person wants to know it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.runs import ACTIVE_STATES, Run, RunState

SETTLED_SECONDS = 3.0
"""Before that a rate says nothing."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`per_minute` counts conversations; `left_seconds` is None while nobody knows. `share` is in percent."""

    run: Run
    done: int
    listed: int
    seconds: float
    throttled_seconds: float

    @property
    def is_active(self) -> bool:
        return self.run.state in ACTIVE_STATES

    @property
    def share(self) -> int:
        if self.run.state is RunState.COMPLETED:
            return 100
        return min(100 * self.done // self.listed, 99 if self.is_active else 100) if self.listed else 0

    @property
    def per_minute(self) -> float:
        return 60 * self.done / self.seconds if self.seconds >= SETTLED_SECONDS else 0.0

    @property
    def left_seconds(self) -> float | None:
        if self.run.state is not RunState.RUNNING or not self.per_minute:
            return None
        return 60 * (self.listed - self.done) / self.per_minute + self.throttled_seconds

    @property
    def is_unclaimed(self) -> bool:
        """Queued for so long that perhaps no worker is there."""
        return self.run.state is RunState.QUEUED and self.seconds > 10


def progress_of(run: Run, now: datetime) -> Progress:
    counters = run.counters
    done = (
        counters.conversations_read + counters.conversations_unchanged + counters.conversations_failed
        + counters.conversations_gone
    )  # fmt: skip
    began, until = run.started_at or run.created_at, run.finished_at or now
    throttled = (run.throttled_until - now).total_seconds() if run.throttled_until and not run.finished_at else 0.0
    return Progress(
        run, done, counters.conversations_listed, max((until - began).total_seconds(), 0.0), max(throttled, 0.0)
    )
