"""How far each conversation's history was read, in `conversations`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.backfill.normalise import Reading
from shared.ids import ConversationKey
from shared.mongo import Database, DuplicateKeyError, server_time


@dataclass(frozen=True, slots=True)
class History:
    """The checkpoint of a conversation that was read in full: by which run, and when it had last moved."""

    run_id: str
    updated_time: datetime | None


class HistoryStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def history(self, key: ConversationKey) -> History | None:
        stored = await self._database.conversations.find_one({"_id": str(key)}, {"history": True})
        history = (stored or {}).get("history")
        return History(history["run_id"], history["updated_time"]) if history else None

    async def remember(self, reading: Reading, read: int, unavailable: int) -> None:
        """The checkpoint; made behind acknowledged events. `history` is this service's only field of the document."""
        history = {
            "thread_id": reading.listed.thread_id,
            "updated_time": reading.listed.updated_time,
            "run_id": reading.run_id,
            "messages": read,
            "unavailable": unavailable,
            "completed_at": await server_time(self._database),
        }
        identity = {"platform": reading.key.platform, "account_id": reading.key.account_id}
        update = {"$set": {"history": history}, "$setOnInsert": {**identity, "customer_id": reading.key.customer_id}}
        try:
            await self._upsert(reading.key, update)
        except DuplicateKeyError:  # the analyzer has inserted it meanwhile, so it can be updated now
            await self._upsert(reading.key, update)

    async def _upsert(self, key: ConversationKey, update: dict[str, Any]) -> None:
        await self._database.conversations.update_one({"_id": str(key)}, update, upsert=True)
