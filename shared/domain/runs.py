"""One backfill of one account. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from shared.contract.events import Instant
from shared.contract.ids import Platform


class RunState(StrEnum):
    QUEUED = "QUEUED"  # a worker will take it
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"  # every conversation was read in full
    PARTIAL = "PARTIAL"  # some could not be; `failures` says which and why
    FAILED = "FAILED"  # it could not go on; `reason` says what the operator must do
    CANCELLED = "CANCELLED"  # by a person, for good


RUN_LEASE = timedelta(seconds=8)
"""A run whose process was not heard of for so long is anyone's. Processes write theirs every second."""
ACTIVE_STATES = (RunState.QUEUED, RunState.RUNNING)
RESUMABLE_STATES = (RunState.FAILED, RunState.PARTIAL)


class RunCounters(BaseModel):
    model_config = ConfigDict(frozen=True)
    conversations_listed: int = 0
    conversations_unchanged: int = Field(default=0, description="skipped: not moved since last read in full")
    conversations_read: int = 0
    conversations_failed: int = 0
    conversations_gone: int = Field(default=0, description="listed, but deleted or archived when it was to be read")
    messages_published: int = 0
    messages_unavailable: int = Field(default=0, description="listed, but not shown by the platform")
    calls: int = 0

    @property
    def done(self) -> int:
        """Conversations that are behind it, whatever came of them."""
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
    is_anew: bool = Field(default=False, description="reads everything, whatever is known of it, to fill holes")
    counters: RunCounters = RunCounters()
    failures: tuple[ConversationFailure, ...] = Field(default=(), description="the first hundred")
    reason: str | None = Field(default=None, description="why it is FAILED, PARTIAL or CANCELLED")
    is_warned: bool = Field(default=False, description="no scheduled run follows before a person has begun one")
    throttled_until: Instant | None = None
    created_at: Instant
    since: Instant | None = Field(
        default=None, description="when it was last queued or claimed: what is counted of conversations, is from then"
    )
    started_at: Instant | None = None
    heartbeat_at: Instant | None = Field(default=None, description="when its process last wrote it, server time")
    finished_at: Instant | None = None
    owner: str | None = Field(default=None, description="the claim of the process that is at it, its host first")
    cancel_asked: bool = Field(default=False, description="its process ends it as CANCELLED when it hears this")


def is_abandoned(run: Run, now: datetime) -> bool:
    """Whether it says RUNNING and nobody is at it: its process died, and none has taken it over yet."""
    return run.state is RunState.RUNNING and is_claimable(run, now)


def is_claimable(run: Run, now: datetime) -> bool:
    """Whether a worker may take it. `now` is the server's."""
    return run.state is RunState.QUEUED or run.heartbeat_at is None or now - run.heartbeat_at > RUN_LEASE
