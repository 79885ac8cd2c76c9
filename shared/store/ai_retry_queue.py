"""What the AI is to score later: what only the fallback has scored while there was an AI, and what a person wanted
scored anew while it was away.

A collection of its own, so that the conversations, which are written all the time, need no index for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.store.expressions import later
from shared.store.indexes import EPOCH, Index
from shared.store.mongo import Database, UpdateOne, server_time, write_all

INDEXES = (Index("again", (("at", 1),)),)

LONGEST = 256
"""How many times the first wait the longest is: what Gemini will never answer for is not paid for all day."""


class AIRetryQueue:
    """The AI is asked `wait_ms` after the fallback was, then after twice as long each time."""

    def __init__(self, database: Database, wait_ms: int) -> None:
        self._database = database
        self._again = database.again
        self._wait_ms = wait_ms

    async def due(self, limit: int) -> list[str]:
        """Conversations, the longest due first."""
        now = await server_time(self._database)
        due = self._again.find({"at": {"$gte": EPOCH, "$lte": now}}, {"_id": True}).sort("at", 1)
        return [stored["_id"] async for stored in due.limit(limit)]

    async def put(self, keys: Sequence[str], *, in_vain: bool) -> None:
        """`in_vain`: the AI has just been asked; else a wait that has begun goes on."""
        tries = {"$add": [{"$ifNull": ["$tries", -1]}, 1]} if in_vain else {"$ifNull": ["$tries", 0]}
        wait = {"$multiply": [self._wait_ms, {"$min": [{"$pow": [2, "$tries"]}, LONGEST]}]}
        new = later("$$NOW", wait)
        at = new if in_vain else {"$ifNull": ["$at", new]}
        put: list[dict[str, Any]] = [{"$set": {"tries": tries}}, {"$set": {"at": at}}]
        while keys and not await write_all(self._again, [UpdateOne({"_id": key}, put, upsert=True) for key in keys]):
            """Two have put the same."""

    async def drop(self, keys: Sequence[str]) -> None:
        if keys:
            await self._again.delete_many({"_id": {"$in": list(keys)}})
