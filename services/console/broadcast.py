"""Changes told to every open page: encoded once, kept for a while for who was away for a moment. Pure but for queues.

An id is that of this process and a number. Who shows one that is not remembered is told to read its page anew.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import orjson

KEPT = 1000
WAITING = 200
"""What may lie unread for one page; a page that is slower is closed, and comes back with its last id."""
END = b""

Pages: TypeAlias = "asyncio.Queue[bytes]"


class Broadcast:
    def __init__(self) -> None:
        self._process = secrets.token_hex(4)
        self._number = 0
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._pages: set[Pages] = set()
        self._is_over = False

    @property
    def listeners(self) -> int:
        return len(self._pages)

    def send(self, kind: str, fields: Mapping[str, object]) -> None:
        self._number += 1
        event = encoded(kind, fields, f"{self._process}-{self._number}")
        self._kept.append((self._number, event))
        for page in list(self._pages):
            self._give(page, event)

    @contextmanager
    def listening(self, last_id: str = "") -> Iterator[Pages]:
        """A queue of events as they go over the wire; END closes it."""
        page: Pages = asyncio.Queue(WAITING + KEPT + 1)
        for event in self._missed(last_id):
            page.put_nowait(event)
        if self._is_over:
            page.put_nowait(END)
        self._pages.add(page)
        try:
            yield page
        finally:
            self._pages.discard(page)

    def close(self) -> None:
        self._is_over = True
        for page in list(self._pages):
            self._end(page)

    def _missed(self, last_id: str) -> list[bytes]:
        if not last_id:
            return []
        process, _, number = last_id.partition("-")
        oldest = self._kept[0][0] if self._kept else self._number + 1
        if process != self._process or not number.isdigit() or not oldest - 1 <= int(number) <= self._number:
            return [encoded("reset", {}, f"{self._process}-{self._number}")]
        return [event for each, event in self._kept if each > int(number)]

    def _give(self, page: Pages, event: bytes) -> None:
        if page.qsize() < WAITING:
            page.put_nowait(event)
        else:
            self._end(page)

    def _end(self, page: Pages) -> None:
        self._pages.discard(page)
        if not page.full():
            page.put_nowait(END)


def encoded(kind: str, fields: Mapping[str, object], event_id: str) -> bytes:
    """JSON has no line break, so an event has one line of data."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id.encode(), kind.encode(), orjson.dumps(fields))
