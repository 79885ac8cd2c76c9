"""The pages of accounts and their runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from services.console.accounts.account_checks import AccountChecks
from services.console.accounts.form import InvalidAccountError, request_from_form
from services.console.accounts.run_progress import CombinedProgress, RunProgress, combine, next_in_seconds, progress_of
from services.console.accounts.service import AccountChanges
from services.console.api.requests import AccountRequest, AccountSettings
from services.console.auth.auth_middleware import ACCESS
from services.console.contacts.actions import form_of
from services.console.index.contact_index import ContactIndex
from services.console.view.form_error import FormError
from services.console.view.rendering import Renderer
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.runs import ACTIVE_STATES, RESUMABLE_STATES
from shared.runtime.clock import known_time_zones
from shared.store.accounts import AccountInUseError, AccountStore
from shared.store.mongo import Database, server_time
from shared.store.pipelines import PipelineStore
from shared.store.runs import ActiveRunError, NotResumableError, RunStore

MAX_PAST_RUNS = 25
PATH = "/integrations"


@dataclass(frozen=True, slots=True)
class AccountView:
    """`next_seconds` is the time until its next automatic run; None if none is planned."""

    account: Account
    contacts: int
    health: dict[str, Any] | None
    last: RunProgress | None
    next_seconds: float | None


@dataclass(frozen=True, slots=True)
class PlatformView:
    """All accounts of a platform; `last` sums up their last runs."""

    platform: Platform
    accounts: int
    contacts: int
    active: int
    last: CombinedProgress


class IntegrationPages:
    def __init__(
        self,
        contact_index: ContactIndex,
        database: Database,
        renderer: Renderer,
        checks: AccountChecks,
        changes: AccountChanges,
    ) -> None:
        self._contact_index = contact_index
        self._database = database
        self._renderer = renderer
        self._checks = checks
        self._changes = changes
        self._accounts = AccountStore(database)
        self._runs = RunStore(database)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(PATH, self.show_all),
            web.post(PATH, self.add),
            web.post("/integrations/run-all", self.run_all),
            web.post("/integrations/{key}/run", self.run),
            web.post("/integrations/{key}/check", self.check),
            web.get("/integrations/{key}/settings", self.show_all),
            web.post("/integrations/{key}/settings", self.settings),
            web.post("/integrations/{key}/remove", self.remove),
            web.get("/runs/{run_id}", self.one_run),
            web.post("/runs/{run_id}/cancel", self.cancel),
            web.post("/runs/{run_id}/resume", self.resume),
        ]

    async def show_all(self, request: web.Request) -> web.Response:
        return await self._page(request)

    async def _page(self, request: web.Request, form_error: FormError | None = None) -> web.Response:
        accounts, now = await self._accounts.all(), await server_time(self._database)
        healths = await self._accounts.healths()
        views = [await self._view(account, healths.get(account.key), now) for account in accounts]
        return self._renderer.page(
            request, "integrations.html", request[ACCESS], status=400 if form_error else 200,
            views=views,
            form_error=form_error or FormError(),
            platforms=by_platform(views),
            names={account.key: account.name for account in accounts},
            pipelines=[each.name for each in await PipelineStore(self._database).all()],
            history=[progress_of(run, now) for run in await self._runs.newest(MAX_PAST_RUNS)],
            time_zones=known_time_zones(),
            can_add=self._changes.can_add,
        )  # fmt: skip

    async def _view(self, account: Account, health: dict[str, Any] | None, now: datetime) -> AccountView:
        last = await self._runs.newest_of(account)
        progress, next_seconds = progress_of(last, now) if last else None, next_in_seconds(account, last, now)
        return AccountView(account, self._contact_index.by_account()[account.key], health, progress, next_seconds)

    async def add(self, request: web.Request) -> web.Response:
        form = await form_of(request)
        try:
            account, problems = await self._changes.add(request_from_form(AccountRequest, form))
        except InvalidAccountError as error:
            return await self._page(request, FormError.from_exception(error, "", form))
        message = f"{account.name} was added." + (f" But {'; '.join(problems)}." if problems else "")
        raise self._back(message, is_problem=bool(problems))

    async def run(self, request: web.Request) -> web.Response:
        account = await self._account(request)
        try:
            await self._runs.enqueue(account)
        except ActiveRunError:
            raise self._back(f"A run of {account.name} is already active.", is_problem=True) from None
        raise self._back(f"A run of {account.name} is queued.")

    async def run_all(self, _request: web.Request) -> web.Response:
        queued = 0
        for account in await self._accounts.all():
            try:
                await self._runs.enqueue(account)
                queued += 1
            except ActiveRunError:
                continue
        raise self._back(f"{queued} {'run is' if queued == 1 else 'runs are'} queued.")

    async def check(self, request: web.Request) -> web.Response:
        account = await self._account(request)
        problems = (await self._checks.check(account))["problems"]
        raise self._back(
            f"{account.name} {'needs attention' if problems else 'is connected'}.", is_problem=bool(problems)
        )

    async def settings(self, request: web.Request) -> web.Response:
        account, form = await self._account(request), await form_of(request)
        try:
            await self._changes.update(account, request_from_form(AccountSettings, form))
        except InvalidAccountError as error:
            return await self._page(request, FormError.from_exception(error, account.key, form))
        raise self._back("Saved.")

    async def remove(self, request: web.Request) -> web.Response:
        account, form = await self._account(request), await form_of(request)
        if form.get("sure") != "yes":
            raise self._back("Nothing was removed: confirm that you are sure.", is_problem=True)
        try:
            await self._accounts.remove(account)
        except AccountInUseError:
            raise self._back("A run of this account is active: cancel it first.", is_problem=True) from None
        raise self._back(f"{account.name} and its token were removed. Its contacts stay.")

    async def one_run(self, request: web.Request) -> web.Response:
        try:
            run = await self._runs.get(request.match_info["run_id"])
        except KeyError:
            raise web.HTTPNotFound(text="There is no such run.") from None
        account = await self._accounts.get(run.platform, run.account_id)
        return self._renderer.page(
            request, "run.html", request[ACCESS],
            progress=progress_of(run, await server_time(self._database)),
            run=run,
            name=account.name if account else run.account_id,
            may_resume=run.state in RESUMABLE_STATES,
        )  # fmt: skip

    async def cancel(self, request: web.Request) -> web.Response:
        run_id = request.match_info["run_id"]
        try:
            run = await self._runs.cancel(run_id)
        except KeyError:
            raise web.HTTPNotFound(text="There is no such run.") from None
        message = "Cancelling: the worker stops in a moment." if run.state in ACTIVE_STATES else "The run has ended."
        raise self._renderer.redirect(f"/runs/{run_id}", message)

    async def resume(self, request: web.Request) -> web.Response:
        run_id = request.match_info["run_id"]
        try:
            await self._runs.resume(run_id)
        except KeyError:
            raise web.HTTPNotFound(text="There is no such run.") from None
        except (ActiveRunError, NotResumableError) as error:
            raise self._renderer.redirect(f"/runs/{run_id}", f"Not resumed: {error}.", is_problem=True) from None
        raise self._renderer.redirect(f"/runs/{run_id}", "The run resumes where it stopped.")

    async def _account(self, request: web.Request) -> Account:
        account = await self._accounts.by_key(request.match_info["key"])
        if account is None:
            raise web.HTTPNotFound(text="This account no longer exists.")
        return account

    def _back(self, message: str, *, is_problem: bool = False) -> web.HTTPSeeOther:
        return self._renderer.redirect(PATH, message, is_problem=is_problem)


def by_platform(views: Iterable[AccountView]) -> list[PlatformView]:
    return [
        PlatformView(
            platform=platform,
            accounts=len(of_it),
            contacts=sum(view.contacts for view in of_it),
            active=sum(view.last is not None and view.last.is_active for view in of_it),
            last=combine(view.last for view in of_it if view.last),
        )
        for platform in Platform
        if (of_it := [view for view in views if view.account.platform is platform])
    ]
