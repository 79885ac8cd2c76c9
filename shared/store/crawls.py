"""The `crawls` collection: up to which time each account's conversations were read in full."""

from __future__ import annotations

from datetime import datetime

from shared.domain.accounts import Account
from shared.store.mongo import Database


class Crawls:
    def __init__(self, database: Database) -> None:
        self._crawls = database.crawls

    async def complete_until(self, account: Account) -> datetime | None:
        """Return the time up to which everything that had moved was read in full; `None` when nothing is known."""
        stored = await self._crawls.find_one({"_id": account.key})
        until: datetime | None = stored["complete_until"] if stored else None
        return until

    async def complete(self, account: Account, run_id: str, until: datetime) -> None:
        fields = {"complete_until": until, "run_id": run_id}
        await self._crawls.update_one({"_id": account.key}, {"$set": fields}, upsert=True)
