"""`/api/accounts…`: accounts as programs add and keep them. A token comes in and never goes out."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from services.console.accounts.account_checks import AccountChecks
from services.console.accounts.form import WrongAccountError
from services.console.accounts.service import AccountChanges, NoKeysError
from services.console.api import models, requests
from services.console.api.bodies import from_body, json_of
from services.console.index.contact_index import ContactIndex
from shared.domain.accounts import Account, format_every
from shared.store.accounts import AccountInUseError, AccountStore


class AccountApi:
    def __init__(
        self, contact_index: ContactIndex, accounts: AccountStore, changes: AccountChanges, checks: AccountChecks
    ) -> None:
        self._contact_index = contact_index
        self._accounts = accounts
        self._changes = changes
        self._checks = checks

    def handlers(self) -> dict[str, Handler]:
        return {
            "list_accounts": self.listed,
            "add_account": self.add,
            "show_account": self.one,
            "set_account": self.choose,
            "remove_account": self.remove,
            "check_account": self.check,
        }

    async def listed(self, _request: web.Request) -> web.Response:
        healths = await self._accounts.healths()
        contacts = self._contact_index.by_account()
        shown = [
            models.account_json(each, contacts[each.key], healths.get(each.key)) for each in await self._accounts.all()
        ]
        return json_of(models.AccountList(accounts=shown))

    async def one(self, request: web.Request) -> web.Response:
        return await self._shown(await self._account(request))

    async def add(self, request: web.Request) -> web.Response:
        asked = await from_body(requests.AccountRequest, request)
        try:
            account, _ = await self._changes.add(asked.fields())
        except (NoKeysError, WrongAccountError) as error:
            raise web.HTTPConflict(text=str(error)) from None
        return await self._shown(account, status=201)

    async def choose(self, request: web.Request) -> web.Response:
        asked, account = await from_body(requests.AccountSettings, request), await self._account(request)
        try:
            return await self._shown(await self._changes.choose(account, _settings_of(account) | asked.fields()))
        except (NoKeysError, WrongAccountError) as error:
            raise web.HTTPConflict(text=str(error)) from None

    async def check(self, request: web.Request) -> web.Response:
        account = await self._account(request)
        await self._checks.check(account)
        return await self._shown(account)

    async def remove(self, request: web.Request) -> web.Response:
        try:
            await self._accounts.remove(await self._account(request))
        except AccountInUseError as error:
            raise web.HTTPConflict(text=str(error)) from None
        return web.Response(status=204)

    async def _account(self, request: web.Request) -> Account:
        account = await self._accounts.by_key(request.match_info["account"])
        if account is None:
            raise web.HTTPNotFound(text="there is no such account")
        return account

    async def _shown(self, account: Account, status: int = 200) -> web.Response:
        health = (await self._accounts.healths()).get(account.key)
        return json_of(models.account_json(account, self._contact_index.by_account()[account.key], health), status)


def _settings_of(account: Account) -> dict[str, str]:
    """As its form shows them."""
    every = format_every(account.every_seconds) if account.every_seconds else ""
    return {"name": account.name, "pipeline": account.pipeline or "", "mode": account.mode, "every": every}
