"""Changes for every open page, encoded once and kept for a while.

A page is a position in these events, so a slow page costs nothing and later receives all it missed in one write. An
event's id is the process and a number. A page with an id that is unknown or too old, as after a restart, receives
`reset` and reloads.
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
"""The longest time between rendering a page and its subscription."""
BEHIND = -1
"""The position of a page that has missed more events than are kept."""


class Broadcast:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.listeners = 0
        self.is_closed = False
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
        self.is_closed = True
        self._wake()

    @contextmanager
    def subscribe(self, last_id: str = "") -> Iterator[int]:
        """Yield the position to start at, given the id of the last event received.

        A new page has no id. It starts BEHIND when a change was sent a moment ago, as it may show the state before it.
        """
        self.listeners += 1
        try:
            yield self._position_of(last_id)
        finally:
            self.listeners -= 1

    async def wait_after(self, position: int) -> None:
        """Return when there are events after `position`, or on `close`."""
        while position == self._number and not self.is_closed:
            await self._changed.wait()

    def events_after(self, position: int) -> tuple[bytes, int]:
        """Return all events after `position` as bytes to send, and the new position."""
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
        """Wake the pages that wait now; later ones wait on a new event."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _encoded(self, kind: str, fields: Mapping[str, object]) -> bytes:
        """Encode an event. JSON has no line breaks, so the data is one line."""
        event_id = f"{self._process}-{self._number}"
        return b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id.encode(), kind.encode(), orjson.dumps(fields))
