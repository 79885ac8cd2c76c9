"""The `erasures` collection: which customers were erased, by conversation, and when. Nothing else of them is kept.

What was said until then stays erased, however often history is read again. What they write afterwards is stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from shared.store.conversations import Conversations
from shared.store.messages import MessageStore
from shared.store.mongo import Database


class Erasures:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._erasures = database.erasures
        self._messages = MessageStore(database)
        self._conversations = Conversations(database)

    async def of(self, keys: Iterable[str]) -> dict[str, datetime]:
        """Return when each of these conversations was last erased, by the server's clock; one query."""
        found = self._erasures.find({"_id": {"$in": list(keys)}})
        return {stored["_id"]: stored["at"] async for stored in found}

    async def remember(self, key: str) -> datetime:
        """Record that all that was said until now is erased, and return when that is, by the server's clock."""
        await self._erasures.update_one({"_id": key}, {"$currentDate": {"at": True}}, upsert=True)
        return (await self.of([key]))[key]

    async def erase(self, key: str, at: datetime) -> int:
        """Delete what was said and described of the customer until `at`, and return the number of messages.

        A batch that is being written meanwhile may bring some back; each analysis of the conversation erases them.
        """
        await self._conversations.erase_description(key, at)
        return await self._messages.erase(key, at)

    async def erase_requests(self, key: str) -> None:
        """Delete what is queued for the customer elsewhere: the request for their profile, and the AI's retry."""
        for collection in (self._database.profiles, self._database.ai_retries):
            await collection.delete_one({"_id": key})
