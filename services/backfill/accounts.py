"""The accounts that were added, in `accounts`."""

from __future__ import annotations

from shared.accounts import Account, account_key
from shared.ids import Platform
from shared.mongo import Database


class AccountStore:
    def __init__(self, database: Database) -> None:
        self._accounts = database.accounts

    async def put(self, account: Account) -> None:
        """Adds it, or puts it in the place of the one with that id."""
        await self._accounts.replace_one({"_id": account.key}, account.model_dump(mode="json"), upsert=True)

    async def get(self, platform: Platform, account_id: str) -> Account | None:
        stored = await self._accounts.find_one({"_id": account_key(platform, account_id)})
        return Account.model_validate(stored) if stored else None

    async def all(self) -> list[Account]:
        return [Account.model_validate(stored) for stored in await self._accounts.find({}).sort("_id", 1).to_list(None)]
