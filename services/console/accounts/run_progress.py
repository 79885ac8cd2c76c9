"""The progress of runs: share, speed and time left. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.domain.accounts import Account
from shared.domain.runs import ACTIVE_STATES, Run, RunCounters, RunState, is_abandoned

MIN_RATE_SECONDS = 3.0
"""A rate over less time is not meaningful."""
MAX_QUEUED_SECONDS = 10.0
"""Workers look for a run every second: one that is queued for longer has no worker."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """`seconds` is the time since the start of the run, `since_seconds` the time since it was last queued or claimed,
    when its counters of conversations began. `is_abandoned` says that its worker has stopped sending heartbeats."""

    run: Run
    seconds: float
    since_seconds: float
    throttled_seconds: float
    is_abandoned: bool

    @property
    def listed(self) -> int:
        return self.run.counters.conversations_listed

    @property
    def done(self) -> int:
        return self.run.counters.done

    @property
    def is_active(self) -> bool:
        return self.run.state in ACTIVE_STATES

    @property
    def is_moving(self) -> bool:
        return self.run.state is RunState.RUNNING and not self.is_abandoned

    @property
    def share(self) -> int:
        """Return the share that is done, in percent."""
        if self.run.state is RunState.COMPLETED:
            return 100
        return min(100 * self.done // self.listed, 99 if self.is_active else 100) if self.listed else 0

    @property
    def per_minute(self) -> float:
        """Return conversations a minute; 0 while the run does not move."""
        return 60 * self.done / self.since_seconds if self.is_moving and self.since_seconds >= MIN_RATE_SECONDS else 0.0

    @property
    def left_seconds(self) -> float | None:
        """Return the estimated time left; None while it is not known."""
        if not self.per_minute:
            return None
        return 60 * (self.listed - self.done) / self.per_minute + self.throttled_seconds

    @property
    def is_unclaimed(self) -> bool:
        """Whether it is queued for so long that no worker seems to be running."""
        return self.run.state is RunState.QUEUED and self.since_seconds > MAX_QUEUED_SECONDS


def progress_of(run: Run, now: datetime) -> RunProgress:
    """`now` is the database server's time."""
    until = run.finished_at or now
    began = run.started_at or run.created_at
    throttled = (run.throttled_until - now).total_seconds() if run.throttled_until and not run.finished_at else 0.0
    return RunProgress(
        run=run,
        seconds=max((until - began).total_seconds(), 0.0),
        since_seconds=max((until - (run.since or began)).total_seconds(), 0.0),
        throttled_seconds=max(throttled, 0.0),
        is_abandoned=is_abandoned(run, now),
    )


@dataclass(frozen=True, slots=True)
class CombinedProgress:
    """The sum of several runs. `left_seconds` is that of the longest; None if it is not known of one of them."""

    done: int
    counters: RunCounters
    per_minute: float
    left_seconds: float | None


def combine(runs: Iterable[RunProgress]) -> CombinedProgress:
    each_run = list(runs)
    counted = [progress.run.counters for progress in each_run]
    sums = {name: sum(getattr(each, name) for each in counted) for name in RunCounters.model_fields}
    left = [progress.left_seconds for progress in each_run if progress.is_active]
    return CombinedProgress(
        done=sum(progress.done for progress in each_run),
        counters=RunCounters(**sums),
        per_minute=sum(progress.per_minute for progress in each_run),
        left_seconds=None if None in left else max(filter(None, left), default=None),
    )


def next_in_seconds(account: Account, last: Run | None, now: datetime) -> float | None:
    """Return the time until the next automatic run.

    None for an account without a schedule, while a run is active, and when only a person may start the next.
    """
    if not account.every_seconds or (last and (last.is_warned or last.state in ACTIVE_STATES)):
        return None
    return max(account.every_seconds - (now - last.created_at).total_seconds(), 0.0) if last else 0.0
