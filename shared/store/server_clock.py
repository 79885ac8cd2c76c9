"""The server's time, which leases, due times and budgets are compared with, without asking for it each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.store.indexes import EPOCH
from shared.store.mongo import Database, server_time

LEASE_MAX_AGE_SECONDS = 1.0
"""How old the server's answer may be for leases and due times: two clocks do not diverge in so short a time."""
BUDGET_MAX_AGE_SECONDS = 30.0
"""The same for budgets, which need seconds only."""


class ClockReading(NamedTuple):
    """The server's time, and a monotonic time of this process that is not later than it."""

    now: datetime
    monotonic: float


class ServerClock:
    """Extrapolates the server's last answer by this process's monotonic clock.

    It is never ahead of the server and behind by at most the time that the last answer took. So what it says is due or
    expired is so, and a lease given by it ends in this process before it ends on the server.
    """

    def __init__(
        self,
        database: Database,
        max_age_seconds: float = LEASE_MAX_AGE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._max_age_seconds = max_age_seconds
        self._monotonic = monotonic
        self._answer: _Answer | None = None

    async def read(self) -> ClockReading:
        """Return the time, asking the server when its last answer is too old."""
        await self.synchronise()
        return self._reading()

    def now(self) -> float:
        """Return the Unix time without asking. Meaningless before the first `synchronise`."""
        return self._reading().now.timestamp()

    async def synchronise(self) -> None:
        if self._answer is None or self._monotonic() >= self._answer.received_at + self._max_age_seconds:
            asked_at = self._monotonic()
            now = await server_time(self._database)
            self._answer = _Answer(now, asked_at, self._monotonic())

    def _reading(self) -> ClockReading:
        answer, at = self._answer or _Answer(EPOCH, 0.0, 0.0), self._monotonic()
        now = answer.now + timedelta(seconds=at - answer.received_at)
        return ClockReading(now, at - (answer.received_at - answer.asked_at))


class _Answer(NamedTuple):
    now: datetime
    asked_at: float
    received_at: float
