"""The accounts, in `accounts`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from shared.contract.ids import Platform
from shared.domain.accounts import UTC_NAME, Account, account_key
from shared.domain.pipelines import Mode
from shared.runtime.crypto import TokenVault
from shared.store.mongo import Database, DuplicateKeyError


class AccountInUseError(Exception):
    """A run of the account is queued or running."""


class DuplicateAccountError(Exception):
    """The account exists already."""


class AccountChoices(NamedTuple):
    """What an analysis needs of an account: what a person has chosen for it."""

    name: str
    timezone: str
    pipeline: str | None
    mode: Mode


class AccountStore:
    def __init__(self, database: Database) -> None:
        self._accounts = database.accounts
        self._crawls = database.crawls
        self._runs = database.sync_runs

    async def put(self, account: Account) -> None:
        """Add the account, or replace the one with its id."""
        await self._accounts.replace_one({"_id": account.key}, account.model_dump(mode="json"), upsert=True)

    async def add(self, account: Account) -> None:
        """Add the account. DuplicateAccountError when it exists."""
        try:
            await self._accounts.insert_one({"_id": account.key, **account.model_dump(mode="json")})
        except DuplicateKeyError:
            raise DuplicateAccountError(account.key) from None

    async def save_token(self, account: Account) -> None:
        """Write the account's token and nothing else of it."""
        update = {"$set": {"encrypted_token": account.encrypted_token}, "$unset": {"health": ""}}
        await self._accounts.update_one({"_id": account.key}, update)

    async def get(self, platform: Platform, account_id: str) -> Account | None:
        return await self.by_key(account_key(platform, account_id))

    async def by_key(self, key: str) -> Account | None:
        stored = await self._accounts.find_one({"_id": key})
        return Account.model_validate(stored) if stored else None

    async def all(self) -> list[Account]:
        return [Account.model_validate(stored) for stored in await self._accounts.find({}).sort("_id", 1).to_list(None)]

    async def choices(self, keys: Iterable[str]) -> dict[str, AccountChoices]:
        """Return the choices for each account that exists. Its token is not read."""
        found = self._accounts.find({"_id": {"$in": list(keys)}}, dict.fromkeys(AccountChoices._fields, True))
        return {
            each["_id"]: AccountChoices(
                each.get("name", ""),
                each.get("timezone", UTC_NAME),
                each.get("pipeline"),
                Mode(each.get("mode", Mode.SKIP_EXISTING)),
            )
            async for each in found
        }

    async def set_pipeline(self, key: str, name: str) -> None:
        await self._accounts.update_one({"_id": key}, {"$set": {"pipeline": name}})

    async def with_token(self) -> list[Account]:
        """Return the accounts that have a token."""
        stored = self._accounts.find({"encrypted_token": {"$exists": True}})
        return [Account.model_validate(each) async for each in stored]

    async def save_choices(self, account: Account) -> None:
        """Write the fields that a person chooses. The token may be renewed at the same time, so it is left alone."""
        chosen = account.model_dump(mode="json", include={"name", "pipeline", "mode", "every_seconds", "timezone"})
        await self._accounts.update_one({"_id": account.key}, {"$set": chosen})

    async def save_health(self, account: Account, health: dict[str, Any]) -> None:
        """Write the result of a check made with the account's current token. `put` and `save_token` delete it."""
        known = {"_id": account.key, "encrypted_token": account.encrypted_token}
        await self._accounts.update_one(known, {"$set": {"health": health}})

    async def healths(self) -> dict[str, dict[str, Any]]:
        """Return the saved results of checks by account key."""
        found = self._accounts.find({"health": {"$exists": True}}, {"health": True})
        return {each["_id"]: each["health"] async for each in found}

    async def remove(self, account: Account) -> None:
        """Remove the account with its token and schedule. AccountInUseError while a run is active.

        Its contacts, messages and rate budget stay. If it is added again, its whole list of conversations is read, as
        the new token may see more of them.
        """
        active = {"platform": account.platform, "account_id": account.account_id, "active": True}
        if run := await self._runs.find_one(active):
            raise AccountInUseError(f"run {run['_id']} of {account.key} is {run['state']}; cancel it first")
        await self._crawls.delete_one({"_id": account.key})
        await self._accounts.delete_one({"_id": account.key})

    async def rotate(self, account: Account, vault: TokenVault) -> None:
        """Encrypt the token with the first key, unless it was replaced meanwhile. WrongKeysError when no key fits."""
        known = {"_id": account.key, "encrypted_token": account.encrypted_token}
        encrypted = {"encrypted_token": vault.encrypt(vault.decrypt(account.encrypted_token))}
        await self._accounts.update_one(known, {"$set": encrypted})
