"""What is due, as last seen: from it claims are chosen fairly, an account at a time in turns.

A conversation that another worker has by now, or that is done, is chosen in vain and no harm: a claim compares and
sets. To see all that is due takes the longer the more it is (SecantusDB: 20 ms a thousand), so that is done seldom
then, and in between only what has become due since is looked for. Of each account only the longest due are remembered.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Container, Iterable
from datetime import timedelta

from shared.store.indexes import EPOCH
from shared.store.mongo import Database
from shared.store.server_clock import Seen, ServerClock

WHOLE_SECONDS = 1.0
"""How often all that is due is looked for, at the most: leases run out, and due times may lie in the past."""
WHOLE_SHARE = 30
"""All of it is looked for in no more than a thirtieth of the time."""
FRESH_SECONDS = 0.1
"""While there is enough to do, somebody else's turn may come so much later."""
OVERLAP = timedelta(seconds=2)
"""A due time is worked out somewhat before it can be seen."""
OF_AN_ACCOUNT = 2_000


class Backlog:
    def __init__(self, database: Database, clock: ServerClock) -> None:
        self._clock = clock
        self._conversations = database.conversations
        self._waiting: dict[str, deque[str]] = {}
        self._known: set[str] = set()
        self._turns: OrderedDict[str, None] = OrderedDict()
        self._seen = Seen(EPOCH, 0.0)
        self._next_whole = 0.0
        self._has_more = False

    async def look(self, limit: int, held: Container[str]) -> Seen:
        """Adds what is due and neither leased nor `held`, unless it was just looked for and there are `limit`, or all
        that were found and some of them left. Returns the time it is."""
        began, seen = time.monotonic(), await self._clock.look()
        is_enough = len(self._known) >= limit or (self._known and not self._has_more)
        if is_enough and began < self._seen.at + FRESH_SECONDS:
            return seen
        is_whole = began >= self._next_whole or (self._has_more and not self._known)
        due = {"$gte": EPOCH if is_whole else self._seen.now - OVERLAP, "$lte": seen.now}
        found = self._conversations.find({"due_at": due}, {"lease.until": True}, batch_size=10_000).sort("due_at", 1)
        if is_whole:
            self._forget()
        async for stored in found:
            until = stored["lease"].get("until") if "lease" in stored else None
            if (until is None or until <= seen.now) and stored["_id"] not in held:
                self._add(stored["_id"])
        self._seen = seen
        if is_whole:
            self._next_whole = began + max(WHOLE_SECONDS, WHOLE_SHARE * (time.monotonic() - began))
        return seen

    def expect(self, keys: Iterable[str]) -> None:
        """Adds what may be due without a look. A claim makes sure."""
        for key in keys:
            self._add(key)

    def take(self, limit: int) -> list[str]:
        """Up to `limit`: one of each account in turns, of each the longest due first."""
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
        if len(waiting) >= OF_AN_ACCOUNT:
            self._has_more = True
            return
        waiting.append(key)
        self._known.add(key)

    def _forget(self) -> None:
        """But whose turn it is: an account that comes again keeps its place, or those that wait longest would have
        every turn where fewer conversations are claimed between two looks than there are accounts."""
        self._waiting = {}
        self._known = set()
        self._has_more = False
