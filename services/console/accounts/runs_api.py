"""`/api/runs…`: runs of the backfill."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from services.console.api import models, requests
from services.console.api.bodies import from_body, json_of
from shared.domain.runs import Run
from shared.store.accounts import AccountStore
from shared.store.runs import ActiveRunError, NotResumableError, RunStore

MAX_RUNS = 100


class RunApi:
    def __init__(self, runs: RunStore, accounts: AccountStore) -> None:
        self._runs = runs
        self._accounts = accounts

    def handlers(self) -> dict[str, Handler]:
        return {
            "list_runs": self.show_all,
            "start_run": self.start,
            "show_run": self.show,
            "cancel_run": self.cancel,
            "resume_run": self.resume,
        }

    async def show_all(self, _request: web.Request) -> web.Response:
        return json_of(models.RunList(runs=await self._runs.newest(MAX_RUNS)))

    async def show(self, request: web.Request) -> web.Response:
        return json_of(await self._run(request))

    async def start(self, request: web.Request) -> web.Response:
        account = await self._accounts.by_key((await from_body(requests.RunRequest, request)).account)
        if account is None:
            raise web.HTTPNotFound(text="there is no such account")
        try:
            return json_of(await self._runs.enqueue(account), status=201)
        except ActiveRunError:
            raise web.HTTPConflict(text="a run of this account is active") from None

    async def cancel(self, request: web.Request) -> web.Response:
        """A run that has ended stays as it is."""
        return json_of(await self._runs.cancel((await self._run(request)).run_id))

    async def resume(self, request: web.Request) -> web.Response:
        run = await self._run(request)
        try:
            return json_of(await self._runs.resume(run.run_id))
        except (ActiveRunError, NotResumableError) as error:
            raise web.HTTPConflict(text=str(error)) from None

    async def _run(self, request: web.Request) -> Run:
        try:
            return await self._runs.get(request.match_info["run_id"])
        except KeyError:
            raise web.HTTPNotFound(text="there is no such run") from None
