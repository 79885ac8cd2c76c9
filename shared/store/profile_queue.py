"""The queue of profile requests, in `profiles`: one document per contact that ever had no name, with the outcome."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from shared.contract.contacts import Contact
from shared.domain.accounts import account_key
from shared.store.indexes import EPOCH, Index
from shared.store.mongo import Database, UpdateOne, server_time, write_all

CLAIM_SECONDS = 600.0
"""A request without an outcome for this long is repeated: its process died or got no answer."""

INDEXES = (Index("profiles", (("asked_at", 1),), where={"asked_at": {"$gte": EPOCH}}),)


class ProfileQueue:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._profiles = database.profiles

    async def add(self, contacts: Iterable[Contact]) -> None:
        """Add contacts that are not in the queue yet. Contacts of accounts that were never added are left out."""
        accounts = {each.contact_id: account_key(each.platform, each.account_id) for each in contacts}
        named = {"_id": {"$in": sorted(set(accounts.values()))}}
        known = {stored["_id"] async for stored in self._database.accounts.find(named, {"_id": True})}
        added = [
            UpdateOne({"_id": contact_id}, {"$setOnInsert": {"account": key, "asked_at": EPOCH}}, upsert=True)
            for contact_id, key in accounts.items()
            if key in known
        ]
        while added and not await write_all(self._profiles, added):
            """Another process has just added one of them."""

    async def waiting(self, accounts: Collection[str], limit: int) -> dict[str, list[str]]:
        """Return ids of contacts to request, by account."""
        wanted = {
            "asked_at": {"$gte": EPOCH, "$lte": await self._expired_before()},
            "account": {"$in": list(accounts)},
        }
        found: dict[str, list[str]] = {}
        async for each in self._profiles.find(wanted).limit(limit):
            found.setdefault(each["account"], []).append(each["_id"])
        return found

    async def claim(self, contact_id: str) -> bool:
        """Claim a contact. Return False if another process has claimed it."""
        waiting = {"_id": contact_id, "asked_at": {"$lte": await self._expired_before()}}
        asked = {"$currentDate": {"asked_at": True}}
        return (await self._profiles.update_one(waiting, asked)).modified_count == 1

    async def done(self, contact_id: str, outcome: str) -> None:
        """Write the outcome; nothing if the customer was erased meanwhile."""
        await self._profiles.update_one({"_id": contact_id}, {"$set": {"outcome": outcome}, "$unset": {"asked_at": ""}})

    async def remove(self, contact_id: str) -> None:
        """Remove what is known of asking about this contact."""
        await self._profiles.delete_one({"_id": contact_id})

    async def _expired_before(self) -> datetime:
        return await server_time(self._database) - timedelta(seconds=CLAIM_SECONDS)
