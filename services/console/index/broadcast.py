"""Changes told to every open page: encoded once and kept for a while. A page is a place among them, so one that is slow
costs nothing, and is told together what it missed.

An id is that of this process and a number; who shows one that is not remembered, as after a restart, is told to read
its page anew.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice

import orjson

MAX_KEPT_EVENTS = 1000
RECENT_SECONDS = 10.0
"""So long a page may take from when it is made to when it listens."""
BEHIND = -1
"""The place of who has missed more than is kept."""


class Broadcast:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.listeners = 0
        self.is_over = False
        self._clock = clock
        self._process = secrets.token_hex(4)
        self._number = 0
        self._sent_at = -RECENT_SECONDS
        self._kept: deque[bytes] = deque(maxlen=MAX_KEPT_EVENTS)
        self._changed = asyncio.Event()

    def send(self, kind: str, fields: Mapping[str, object]) -> None:
        self._number += 1
        self._sent_at = self._clock()
        self._kept.append(self._encoded(kind, fields))
        self._wake()

    def close(self) -> None:
        self.is_over = True
        self._wake()

    @contextmanager
    def subscribe(self, last_id: str = "") -> Iterator[int]:
        """The place to begin at, by the last id that was heard. A new page has no id, and is lost where there was a
        change just now: it may have been made before that."""
        self.listeners += 1
        try:
            yield self._position_of(last_id)
        finally:
            self.listeners -= 1

    async def wait_beyond(self, position: int) -> None:
        """Returns when there is something beyond `position`, or it is over."""
        while position == self._number and not self.is_over:
            await self._changed.wait()

    def events_after(self, position: int) -> tuple[bytes, int]:
        """All events beyond `position` as they go over the wire, and the place then."""
        missed = self._number - position
        if position == BEHIND or missed > len(self._kept):
            return self._encoded("reset", {}), self._number
        return b"".join(islice(self._kept, len(self._kept) - missed, None)), self._number

    def _position_of(self, last_id: str) -> int:
        if not last_id:
            return BEHIND if self._clock() - self._sent_at < RECENT_SECONDS else self._number
        process, _, number = last_id.partition("-")
        is_known = process == self._process and number.isascii() and number.isdigit() and int(number) <= self._number
        return int(number) if is_known else BEHIND

    def _wake(self) -> None:
        """Those who wait now; who comes later waits for the next."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _encoded(self, kind: str, fields: Mapping[str, object]) -> bytes:
        """JSON has no line break, so an event has one line of data."""
        event_id = f"{self._process}-{self._number}"
        return b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id.encode(), kind.encode(), orjson.dumps(fields))
