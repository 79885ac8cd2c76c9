"""Customers who were forgotten, by conversation: only that they were, and when.

What was said until then stays erased, however often history is read again; what they write afterwards begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from shared.mongo import Database


class Forgotten:
    def __init__(self, database: Database) -> None:
        self._forgotten = database.forgotten

    async def of(self, keys: Iterable[str]) -> dict[str, datetime]:
        """When those of these conversations that were forgotten were so last, by one query, in the server's time."""
        found = self._forgotten.find({"_id": {"$in": list(keys)}})
        return {stored["_id"]: stored["at"] async for stored in found}

    async def remember(self, key: str) -> datetime:
        """From now on, and what was said until now. Returns when that is, by the server's clock."""
        await self._forgotten.update_one({"_id": key}, {"$currentDate": {"at": True}}, upsert=True)
        return (await self.of([key]))[key]
