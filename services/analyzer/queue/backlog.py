"""What is due, as last read: claims are chosen from it fairly, round-robin over accounts.

A conversation that another worker has claimed or finished since may still be chosen. That does no harm: a claim
compares and sets. Reading all that is due takes longer the more it is (SecantusDB: 20 ms a thousand). So it is read
seldom then, and in between only what has become due since. Of each account only the longest overdue are remembered.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Container, Iterable
from datetime import timedelta

from shared.store.conversations import Conversations
from shared.store.indexes import EPOCH
from shared.store.server_clock import ClockReading, ServerClock

MIN_FULL_READ_SECONDS = 1.0
"""The shortest interval between two reads of all that is due: leases expire, and due times may lie in the past."""
SECONDS_PER_KEY = 0.0006
"""The interval grows by this for each conversation that was due, so that reading takes a thirtieth of the time. It does
not follow the time that a read took: a read that waited for an absent database would put off the next one for minutes,
and with it every conversation whose lease has expired."""
MIN_READ_SECONDS = 0.1
"""The shortest interval between two reads while there is enough to claim."""
OVERLAP = timedelta(seconds=2)
"""A due time is computed somewhat before it can be read."""
MAX_KEYS_PER_ACCOUNT = 2_000


class Backlog:
    def __init__(self, conversations: Conversations, clock: ServerClock) -> None:
        self._clock = clock
        self._conversations = conversations
        self._waiting: dict[str, deque[str]] = {}
        self._known: set[str] = set()
        self._turns: OrderedDict[str, None] = OrderedDict()
        self._last_read = ClockReading(EPOCH, 0.0)
        self._next_full_read = 0.0
        self._has_more = False

    async def refresh(self, limit: int, held: Container[str]) -> ClockReading:
        """Add what is due and neither leased nor `held`, and return the time.

        Nothing is read when the last read is recent and there are `limit` conversations, or it had found all there is
        and some of it is left.
        """
        began, reading = time.monotonic(), await self._clock.read()
        is_enough = len(self._known) >= limit or (self._known and not self._has_more)
        if is_enough and began < self._last_read.monotonic + MIN_READ_SECONDS:
            return reading
        is_full = began >= self._next_full_read or (self._has_more and not self._known)
        found = self._conversations.due(EPOCH if is_full else self._last_read.now - OVERLAP, reading.now)
        if is_full:
            self._clear()
        number = 0
        async for stored in found:
            number += 1
            until = stored["lease"].get("until") if "lease" in stored else None
            if (until is None or until <= reading.now) and stored["_id"] not in held:
                self._add(stored["_id"])
        self._last_read = reading
        if is_full:
            self._next_full_read = time.monotonic() + max(MIN_FULL_READ_SECONDS, SECONDS_PER_KEY * number)
        return reading

    def add(self, keys: Iterable[str]) -> None:
        """Add what is probably due without reading it. A claim checks it."""
        for key in keys:
            self._add(key)

    def take(self, limit: int) -> list[str]:
        """Remove and return up to `limit` keys: round-robin over accounts, of each the longest overdue first."""
        taken: list[str] = []
        while self._turns and len(taken) < limit:
            account, _ = self._turns.popitem(last=False)
            waiting = self._waiting.get(account)
            if not waiting:
                continue
            taken.append(waiting.popleft())
            if waiting:
                self._turns[account] = None
            else:
                del self._waiting[account]
        self._known.difference_update(taken)
        return taken

    def _add(self, key: str) -> None:
        if key in self._known:
            return
        account = key.rpartition(":")[0]
        waiting = self._waiting.get(account)
        if waiting is None:
            waiting = self._waiting[account] = deque()
            self._turns.setdefault(account)
        if len(waiting) >= MAX_KEYS_PER_ACCOUNT:
            self._has_more = True
            return
        waiting.append(key)
        self._known.add(key)

    def _clear(self) -> None:
        """Forget all keys but keep the order of turns: an account that comes again keeps its place.

        Otherwise the accounts that wait longest would have every turn when fewer conversations are claimed between two
        reads than there are accounts.
        """
        self._waiting = {}
        self._known = set()
        self._has_more = False
