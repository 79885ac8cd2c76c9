"""The accounts that were added, in `accounts`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from shared.contract.ids import Platform
from shared.domain.accounts import Account, account_key
from shared.domain.pipelines import Mode
from shared.runtime.crypto import TokenVault
from shared.store.mongo import Database, DuplicateKeyError


class AccountInUseError(Exception):
    """A run of the account is queued or under way."""


class DuplicateAccountError(Exception):
    """An account of that id is there."""


class PipelineChoice(NamedTuple):
    """The name of an account's pipeline, and what it does with contacts that have a stage."""

    pipeline: str | None
    mode: Mode


class AccountStore:
    def __init__(self, database: Database) -> None:
        self._accounts = database.accounts
        self._crawls = database.crawls
        self._runs = database.sync_runs

    async def put(self, account: Account) -> None:
        """Adds it, or puts it in the place of the one with that id."""
        await self._accounts.replace_one({"_id": account.key}, account.model_dump(mode="json"), upsert=True)

    async def add(self, account: Account) -> None:
        """DuplicateAccountError."""
        try:
            await self._accounts.insert_one({"_id": account.key, **account.model_dump(mode="json")})
        except DuplicateKeyError:
            raise DuplicateAccountError(account.key) from None

    async def save_token(self, account: Account) -> None:
        """Writes its token, and nothing else of it."""
        renewed = {"$set": {"encrypted_token": account.encrypted_token}, "$unset": {"health": ""}}
        await self._accounts.update_one({"_id": account.key}, renewed)

    async def get(self, platform: Platform, account_id: str) -> Account | None:
        return await self.by_key(account_key(platform, account_id))

    async def by_key(self, key: str) -> Account | None:
        stored = await self._accounts.find_one({"_id": key})
        return Account.model_validate(stored) if stored else None

    async def all(self) -> list[Account]:
        return [Account.model_validate(stored) for stored in await self._accounts.find({}).sort("_id", 1).to_list(None)]

    async def pipeline_choices(self, keys: Iterable[str]) -> dict[str, PipelineChoice]:
        """Return the choice of each account that exists. Its token is not read."""
        found = self._accounts.find({"_id": {"$in": list(keys)}}, {"pipeline": True, "mode": True})
        return {
            each["_id"]: PipelineChoice(each.get("pipeline"), Mode(each.get("mode", Mode.SKIP_EXISTING)))
            async for each in found
        }

    async def set_pipeline(self, key: str, name: str) -> None:
        await self._accounts.update_one({"_id": key}, {"$set": {"pipeline": name}})

    async def with_token(self) -> list[Account]:
        """Return the accounts that can be asked."""
        stored = self._accounts.find({"encrypted_token": {"$exists": True}})
        return [Account.model_validate(each) async for each in stored]

    async def save_choices(self, account: Account) -> None:
        """Writes what a person chooses of it, and leaves its token to whoever renews that meanwhile."""
        chosen = account.model_dump(mode="json", include={"name", "pipeline", "mode", "every_seconds"})
        await self._accounts.update_one({"_id": account.key}, {"$set": chosen})

    async def save_health(self, account: Account, health: dict[str, Any]) -> None:
        """What the platform was last heard to say of it, with its token. It goes when the account is put anew."""
        known = {"_id": account.key, "encrypted_token": account.encrypted_token}
        await self._accounts.update_one(known, {"$set": {"health": health}})

    async def healths(self) -> dict[str, dict[str, Any]]:
        """By account those that were remembered."""
        found = self._accounts.find({"health": {"$exists": True}}, {"health": True})
        return {each["_id"]: each["health"] async for each in found}

    async def remove(self, account: Account) -> None:
        """With its token and its schedule; what was read of it stays, and what Facebook makes its calls wait for.

        Should it be added again, the whole of its listing is read, as the new token may see more of it.
        AccountInUseError while a run is active.
        """
        active = {"platform": account.platform, "account_id": account.account_id, "active": True}
        if run := await self._runs.find_one(active):
            raise AccountInUseError(f"run {run['_id']} of {account.key} is {run['state']}; cancel it first")
        await self._crawls.delete_one({"_id": account.key})
        await self._accounts.delete_one({"_id": account.key})

    async def rotate(self, account: Account, vault: TokenVault) -> None:
        """Encrypts its token with the first key, unless it was replaced meanwhile. ValueError when none fits."""
        known = {"_id": account.key, "encrypted_token": account.encrypted_token}
        anew = {"encrypted_token": vault.encrypt(vault.decrypt(account.encrypted_token))}
        await self._accounts.update_one(known, {"$set": anew})
