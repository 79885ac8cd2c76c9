"""The overview page: the state of the system."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aiohttp import web

from services.console.accounts.run_progress import progress_of
from services.console.auth.auth_middleware import ACCESS
from services.console.index.contact_index import ContactIndex
from services.console.overview.system_status import SystemStatus, sparkline
from services.console.view.rendering import Renderer
from shared.contract.contacts import AnalysisSource, Band, band
from shared.domain.runs import RunState
from shared.store.accounts import AccountStore
from shared.store.mongo import Database, server_time
from shared.store.runs import RunStore

MAX_RUNS_READ, MAX_ENDED_RUNS, MAX_ERRORS, MAX_NEWEST_CONTACTS = 20, 4, 8, 9
FAILED_STATES = (RunState.FAILED, RunState.PARTIAL)


class OverviewPages:
    def __init__(
        self, contact_index: ContactIndex, database: Database, renderer: Renderer, system_status: SystemStatus
    ) -> None:
        self._contact_index = contact_index
        self._database = database
        self._renderer = renderer
        self._system_status = system_status

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self.overview)]

    async def overview(self, request: web.Request) -> web.Response:
        now = await server_time(self._database)
        runs = [progress_of(run, now) for run in await RunStore(self._database).newest(MAX_RUNS_READ)]
        accounts = await AccountStore(self._database).all()
        return self._renderer.page(
            request, "overview.html", request[ACCESS],
            names={account.key: account.name for account in accounts},
            has_accounts=bool(accounts),
            active=[each for each in runs if each.is_active],
            ended=[each for each in runs if not each.is_active][:MAX_ENDED_RUNS],
            failed=[each for each in runs if each.run.state in FAILED_STATES][:MAX_ERRORS],
            **self.facts(),
        )  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """Return what is in memory: the system's status and figures of the contacts."""
        status, rates, sources = self._system_status, self._system_status.rates(), self._contact_index.by_source()
        dead_letters = sorted(status.dead_letters or (), key=lambda letter: letter.parked_at, reverse=True)
        return {
            "system_status": status,
            "rate": rates[-1] if rates else None,
            "spark": sparkline(rates),
            "contacts": len(self._contact_index),
            "bands": self._bands(),
            "sources": sources,
            "fallback_share": 100 * sources[AnalysisSource.FALLBACK] / sources.total() if sources else None,
            "newest": self._contact_index.ordered("inbound", descending=True)[:MAX_NEWEST_CONTACTS],
            "dead_letters": dead_letters[:MAX_ERRORS],
        }

    def _bands(self) -> dict[Band, int]:
        counts = Counter[Band]()
        for score, count in self._contact_index.by_score().items():
            if score:
                counts[band(score)] += count
        return {each: counts[each] for each in reversed(Band)}
