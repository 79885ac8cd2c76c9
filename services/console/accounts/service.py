"""What an editor does to accounts, whether a page or a program asks for it. A token comes in and never goes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.console.accounts.account_checks import AccountChecks
from services.console.accounts.form import WrongAccountError, chosen, new_account, token_of
from shared.domain.accounts import Account
from shared.runtime.crypto import TokenVault
from shared.store.accounts import AccountStore, DuplicateAccountError
from shared.store.pipelines import PipelineStore

Fields = Mapping[str, str]


class NoKeysError(Exception):
    """There is no key to encrypt a token with."""

    def __init__(self) -> None:
        super().__init__("set LEADSTREAM_ENCRYPTION_KEYS first: tokens are stored encrypted")


class AccountChanges:
    """WrongAccountError where a field is not right, or the platform refuses the token."""

    def __init__(
        self, accounts: AccountStore, pipelines: PipelineStore, checks: AccountChecks, vault: TokenVault | None
    ) -> None:
        self._accounts = accounts
        self._pipelines = pipelines
        self._checks = checks
        self._vault = vault

    @property
    def can_add(self) -> bool:
        return self._vault is not None

    async def add(self, fields: Fields) -> tuple[Account, list[str]]:
        """And what the platform finds wrong of it, as far as it can be read all the same. NoKeysError."""
        account = new_account(fields, self._encrypt)
        known = WrongAccountError("this account was added before; its settings take a new token", "account_id")
        if await self._accounts.by_key(account.key):
            raise known
        health = await self._asked(account)
        try:
            await self._accounts.add(account)
        except DuplicateAccountError:
            raise known from None
        await self._accounts.save_health(account, health)
        return account, health["problems"]

    async def choose(self, account: Account, fields: Fields) -> Account:
        """With a token where one is given. NoKeysError."""
        names = [each.name for each in await self._pipelines.all()]
        after = chosen(account, fields, names)
        if fields.get("token", "").strip():
            after = after.model_copy(update={"encrypted_token": token_of(fields, self._encrypt)})
            health = await self._asked(after)
            await self._accounts.save_token(after)
            await self._accounts.save_health(after, health)
        await self._accounts.save_choices(after)
        return after

    async def _asked(self, account: Account) -> dict[str, Any]:
        health = await self._checks.ask(account)
        if health["is_refused"]:
            raise WrongAccountError(f"the platform refuses it: {health['problems'][0]}", "token")
        return health

    def _encrypt(self, token: str) -> str:
        if self._vault is None:
            raise NoKeysError
        return self._vault.encrypt(token)
