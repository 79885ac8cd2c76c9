"""The `messages` collection."""

from __future__ import annotations

from collections.abc import Sequence

from shared.store.indexes import Index
from shared.store.mongo import Database, Document

INDEXES = (Index("messages", (("conversation", 1), ("sent_at", 1), ("_id", 1))),)


async def count_messages(database: Database, conversations: Sequence[str]) -> dict[str, int]:
    """Return how many messages of each conversation are stored; deleted ones are not counted, as on the platform."""
    standing = {"conversation": {"$in": list(conversations)}, "sent_at": {"$ne": None}, "deleted_at": None}
    counted: list[Document] = [{"$match": standing}, {"$group": {"_id": "$conversation", "number": {"$sum": 1}}}]
    return {each["_id"]: each["number"] async for each in database.messages.aggregate(counted)}


async def stored_ids(database: Database, ids: Sequence[str]) -> set[str]:
    """Return those of `ids` that are stored, deleted ones too. A message with nothing but a reaction is not stored."""
    found = database.messages.find({"_id": {"$in": list(ids)}, "sent_at": {"$ne": None}}, {"_id": True})
    return {stored["_id"] async for stored in found}
