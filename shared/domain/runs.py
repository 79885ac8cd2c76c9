"""A run: one backfill of one account. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from shared.contract.events import Instant
from shared.contract.ids import Platform


class RunState(StrEnum):
    QUEUED = "QUEUED"  # a worker will claim it
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"  # every conversation was read in full
    PARTIAL = "PARTIAL"  # some could not be read; `failures` says which and why
    FAILED = "FAILED"  # it could not continue; `reason` says what the operator must do
    CANCELLED = "CANCELLED"  # by a person; it cannot be resumed


RUN_LEASE = timedelta(seconds=8)
"""A run without a heartbeat for this long can be claimed. A process writes a heartbeat every second."""
ACTIVE_STATES = (RunState.QUEUED, RunState.RUNNING)
RESUMABLE_STATES = (RunState.FAILED, RunState.PARTIAL)


class RunCounters(BaseModel):
    model_config = ConfigDict(frozen=True)
    conversations_listed: int = 0
    conversations_unchanged: int = Field(default=0, description="skipped: unchanged since last read in full")
    conversations_read: int = 0
    conversations_failed: int = 0
    conversations_gone: int = Field(default=0, description="listed, but deleted or archived before it was read")
    messages_published: int = 0
    messages_unavailable: int = Field(default=0, description="listed, but not returned by the platform")
    calls: int = 0

    @property
    def done(self) -> int:
        """Conversations that are finished, with any outcome."""
        read = self.conversations_read + self.conversations_unchanged
        return read + self.conversations_failed + self.conversations_gone


class ConversationFailure(BaseModel):
    model_config = ConfigDict(frozen=True)
    thread_id: str
    reason: str


class Run(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    run_id: str
    platform: Platform
    account_id: str
    state: RunState
    is_anew: bool = Field(default=False, description="reads every conversation in full, to fill holes")
    counters: RunCounters = RunCounters()
    failures: tuple[ConversationFailure, ...] = Field(default=(), description="the first hundred")
    reason: str | None = Field(default=None, description="why it is FAILED, PARTIAL or CANCELLED")
    is_warned: bool = Field(default=False, description="no scheduled run follows until a person starts one")
    throttled_until: Instant | None = None
    created_at: Instant
    since: Instant | None = Field(
        default=None, description="when it was last queued or claimed; the counters of conversations start then"
    )
    started_at: Instant | None = None
    heartbeat_at: Instant | None = Field(default=None, description="time of the last heartbeat, by the server's clock")
    finished_at: Instant | None = None
    owner: str | None = Field(default=None, description="id of the current claim, beginning with the host")
    cancel_asked: bool = Field(default=False, description="tells its process to end the run as CANCELLED")


def is_abandoned(run: Run, now: datetime) -> bool:
    """Return whether the run is RUNNING but its process has died and no other has claimed it yet."""
    return run.state is RunState.RUNNING and is_claimable(run, now)


def is_claimable(run: Run, now: datetime) -> bool:
    """Return whether a worker may claim the run. `now` is the server's time."""
    return run.state is RunState.QUEUED or run.heartbeat_at is None or now - run.heartbeat_at > RUN_LEASE
