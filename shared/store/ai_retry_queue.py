"""The `ai_retries` collection: conversations that the AI is to analyse later.

They are those that the fallback has analysed although there is an AI, and those for which a person asked for a new
analysis while the AI failed. The queue has a collection of its own because conversations are written all the time: they
need no index for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.store.expressions import later
from shared.store.indexes import EPOCH, Index
from shared.store.mongo import Database, Document, UpdateOne, server_time, write_all

INDEXES = (Index("ai_retries", (("at", 1),)),)

MAX_WAIT_FACTOR = 256
"""The longest wait, as a multiple of the first: a conversation that Gemini never answers must not cost all day."""


class AIRetryQueue:
    """The first retry comes after `wait_ms`; after each failure the wait doubles."""

    def __init__(self, database: Database, wait_ms: int) -> None:
        self._database = database
        self._retries = database.ai_retries
        self._wait_ms = wait_ms

    async def due(self, limit: int) -> list[str]:
        """Return conversations, longest overdue first."""
        now = await server_time(self._database)
        due = self._retries.find({"at": {"$gte": EPOCH, "$lte": now}}, {"_id": True}).sort("at", 1)
        return [stored["_id"] async for stored in due.limit(limit)]

    async def put(self, keys: Sequence[str], *, has_failed: bool) -> None:
        """Queue conversations. `has_failed`: a retry has just failed; else a wait that has begun continues."""
        tries = {"$add": [{"$ifNull": ["$tries", -1]}, 1]} if has_failed else {"$ifNull": ["$tries", 0]}
        wait = {"$multiply": [self._wait_ms, {"$min": [{"$pow": [2, "$tries"]}, MAX_WAIT_FACTOR]}]}
        next_at = later("$$NOW", wait)
        at = next_at if has_failed else {"$ifNull": ["$at", next_at]}
        update: list[Document] = [{"$set": {"tries": tries}}, {"$set": {"at": at}}]
        updates = [UpdateOne({"_id": key}, update, upsert=True) for key in keys]
        while updates and not await write_all(self._retries, updates):
            """Another process has just inserted one of them."""

    async def drop(self, keys: Sequence[str]) -> None:
        if keys:
            await self._retries.delete_many({"_id": {"$in": list(keys)}})
