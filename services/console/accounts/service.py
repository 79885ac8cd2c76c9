"""Changes that an editor makes to accounts, through a page or the API. A token is accepted and never returned."""

from __future__ import annotations

from typing import Any

from services.console.accounts.account_checks import AccountChecks
from services.console.accounts.form import InvalidAccountError, new_account, with_settings
from services.console.api.requests import AccountRequest, AccountSettings
from shared.domain.accounts import Account
from shared.runtime.crypto import TokenVault
from shared.store.accounts import AccountStore, DuplicateAccountError
from shared.store.pipelines import PipelineStore


class AccountChanges:
    """Raises InvalidAccountError, also for a token that the platform refuses and without an encryption key."""

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

    async def add(self, request: AccountRequest) -> tuple[Account, list[str]]:
        """Return the new account and the problems that the platform reports but that do not prevent reading it."""
        account = new_account(request, self._encrypt)
        duplicate = InvalidAccountError(
            "account_id", "this account was added before; enter a new token in its settings"
        )
        if await self._accounts.by_key(account.key):
            raise duplicate
        health = await self._checked(account)
        try:
            await self._accounts.add(account)
        except DuplicateAccountError:
            raise duplicate from None
        await self._accounts.save_health(account, health)
        return account, health["problems"]

    async def update(self, account: Account, settings: AccountSettings) -> Account:
        """Save the settings that are given, and the token if there is one."""
        after = with_settings(account, settings, [each.name for each in await self._pipelines.all()])
        if settings.token:
            after = after.model_copy(update={"encrypted_token": self._encrypt(settings.token.get_secret_value())})
            health = await self._checked(after)
            await self._accounts.save_token(after)
            await self._accounts.save_health(after, health)
        await self._accounts.save_choices(after)
        return after

    async def _checked(self, account: Account) -> dict[str, Any]:
        health = await self._checks.ask(account)
        if health["is_refused"]:
            raise InvalidAccountError("token", f"the platform refuses it: {health['problems'][0]}")
        return health

    def _encrypt(self, token: str) -> str:
        if self._vault is None:
            raise InvalidAccountError("", "set LEADSTREAM_ENCRYPTION_KEYS first: tokens are stored encrypted")
        return self._vault.encrypt(token)
