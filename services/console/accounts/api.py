"""`/api/accounts…`. A token is accepted and never returned."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from services.console.accounts.account_checks import AccountChecks
from services.console.accounts.form import InvalidAccountError
from services.console.accounts.service import AccountChanges
from services.console.api import models, requests
from services.console.api.bodies import from_body, json_of
from services.console.index.contact_index import ContactIndex
from shared.domain.accounts import Account
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
            "list_accounts": self.show_all,
            "add_account": self.add,
            "show_account": self.show,
            "set_account": self.update,
            "remove_account": self.remove,
            "check_account": self.check,
        }

    async def show_all(self, _request: web.Request) -> web.Response:
        healths = await self._accounts.healths()
        contacts = self._contact_index.by_account()
        shown = [
            models.account_json(each, contacts[each.key], healths.get(each.key)) for each in await self._accounts.all()
        ]
        return json_of(models.AccountList(accounts=shown))

    async def show(self, request: web.Request) -> web.Response:
        return await self._response(await self._account(request))

    async def add(self, request: web.Request) -> web.Response:
        body = await from_body(requests.AccountRequest, request)
        try:
            account, _ = await self._changes.add(body)
        except InvalidAccountError as error:
            raise web.HTTPConflict(text=str(error)) from None
        return await self._response(account, status=201)

    async def update(self, request: web.Request) -> web.Response:
        settings, account = await from_body(requests.AccountSettings, request), await self._account(request)
        try:
            return await self._response(await self._changes.update(account, settings))
        except InvalidAccountError as error:
            raise web.HTTPConflict(text=str(error)) from None

    async def check(self, request: web.Request) -> web.Response:
        account = await self._account(request)
        await self._checks.check(account)
        return await self._response(account)

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

    async def _response(self, account: Account, status: int = 200) -> web.Response:
        health = (await self._accounts.healths()).get(account.key)
        return json_of(models.account_json(account, self._contact_index.by_account()[account.key], health), status)
