"""Customers who were forgotten, by conversation: only that they were, and when.

What was said until then stays erased, however often history is read again; what they write afterwards begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from shared.store.mongo import Database

TOLD = {
    "listed_at": ("listed_at", "thread_id", "updated_time", "message_count", "participants"),
    "referred_at": ("referred_at", "referral"),
}
"""What a conversation's document says of the customer, by the field that says when that was told. How far its history
was read (`history`, `reading`) has ids and times only, and stays: else it would all be read onto the topic again."""


class Erasures:
    def __init__(self, database: Database) -> None:
        self._forgotten = database.forgotten
        self._messages = database.messages
        self._conversations = database.conversations

    async def of(self, keys: Iterable[str]) -> dict[str, datetime]:
        """When those of these conversations that were forgotten were so last, by one query, in the server's time."""
        found = self._forgotten.find({"_id": {"$in": list(keys)}})
        return {stored["_id"]: stored["at"] async for stored in found}

    async def remember(self, key: str) -> datetime:
        """From now on, and what was said until now. Returns when that is, by the server's clock."""
        await self._forgotten.update_one({"_id": key}, {"$currentDate": {"at": True}}, upsert=True)
        return (await self.of([key]))[key]

    async def erase(self, key: str, at: datetime) -> int:
        """How many messages of until `at` there were; with them goes what was told of the customer until then.

        A batch that was under way when they were forgotten may bring some back: whoever looks at the conversation
        later erases them again.
        """
        for told_at, fields in TOLD.items():
            until = {"_id": key, told_at: {"$lte": at}}
            await self._conversations.update_one(until, {"$unset": dict.fromkeys(fields, "")})
        return (await self._messages.delete_many(_said_until(key, at))).deleted_count


def _said_until(key: str, at: datetime) -> dict[str, Any]:
    """Of a message that is not here itself, a reaction or a deletion says when it was last heard of."""
    not_later = {"$not": {"$gt": at}}
    heard = ("deleted_at", "reactions.inbound.at", "reactions.outbound.at")
    unknown = {"sent_at": None, **dict.fromkeys(heard, not_later)}
    return {"conversation": key, "$or": [{"sent_at": {"$lte": at}}, unknown]}
