"""The server's time, by which leases and due times are told, without a question for each look at it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from math import inf
from typing import NamedTuple

from shared.store.indexes import EPOCH
from shared.store.mongo import Database, server_time

ASKED_SECONDS = 1.0
"""How often the server is asked at the most. In so short a time two clocks do not part."""


class Seen(NamedTuple):
    """The server's time, and a monotonic time of this process that was not later."""

    now: datetime
    at: float


class ServerClock:
    """Never ahead of the server's, and behind by no more than its last answer took: what is told by it to be due or run
    out is so, and a lease that is given by it ends here before it ends there."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._told = _Told(EPOCH, -inf, -inf)

    async def look(self) -> Seen:
        if time.monotonic() > self._told.answered_at + ASKED_SECONDS:
            asked_at = time.monotonic()
            now = await server_time(self._database)
            self._told = _Told(now, asked_at, time.monotonic())
        told, at = self._told, time.monotonic()
        return Seen(told.now + timedelta(seconds=at - told.answered_at), at - (told.answered_at - told.asked_at))


class _Told(NamedTuple):
    now: datetime
    asked_at: float
    answered_at: float
