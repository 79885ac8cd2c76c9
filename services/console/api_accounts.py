"""`/api/accounts…`."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from services.console import api_models as models
from services.console.api_bodies import json_of
from services.console.directory import Directory
from shared.account_store import AccountStore


class AccountApi:
    def __init__(self, directory: Directory, accounts: AccountStore) -> None:
        self._directory = directory
        self._accounts = accounts

    def handlers(self) -> dict[str, Handler]:
        return {"list_accounts": self.listed}

    async def listed(self, _request: web.Request) -> web.Response:
        contacts = self._directory.by_account()
        shown = [models.account_json(account, contacts[account.key]) for account in await self._accounts.all()]
        return json_of(models.AccountList(accounts=shown))
