"""The page of a pipeline's board."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aiohttp import web

from services.console.auth.auth_middleware import ACCESS
from services.console.board.columns import columns_of
from services.console.index.contact_index import ContactIndex
from services.console.view.rendering import Renderer
from shared.domain.pipelines import Pipeline
from shared.store.accounts import AccountStore
from shared.store.mongo import Database
from shared.store.pipelines import PipelineStore


class BoardPages:
    def __init__(self, contact_index: ContactIndex, database: Database, renderer: Renderer) -> None:
        self._contact_index = contact_index
        self._database = database
        self._renderer = renderer

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/board", self.board)]

    async def board(self, request: web.Request) -> web.Response:
        """Show the pipeline in the query, else the one with the most contacts."""
        pipelines = await PipelineStore(self._database).all()
        accounts = await AccountStore(self._database).all()
        pipeline = self._chosen(pipelines, request.query.get("pipeline", ""))
        account = request.query.get("account", "")
        return self._renderer.page(
            request, "board.html", request[ACCESS],
            pipeline=pipeline,
            pipelines=[each.name for each in pipelines],
            accounts={each.key: each.name for each in accounts},
            account=account,
            columns=columns_of(self._contact_index, pipeline, account) if pipeline else [],
        )  # fmt: skip

    def _chosen(self, pipelines: Sequence[Pipeline], name: str) -> Pipeline | None:
        used = Counter[str]()
        for (pipeline, _), count in self._contact_index.by_stage().items():
            used[pipeline] += count
        by_use = sorted(pipelines, key=lambda each: (each.name != name, -used[each.name]))
        return by_use[0] if by_use else None
