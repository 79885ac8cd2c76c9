"""The board of a pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aiohttp import web

from services.console.board import columns_of
from services.console.directory import Directory
from services.console.guard import ACCESS
from services.console.rendering import Renderer
from shared.account_store import AccountStore
from shared.mongo import Database
from shared.pipeline_store import PipelineStore
from shared.pipelines import Pipeline


class BoardPages:
    def __init__(self, directory: Directory, database: Database, renderer: Renderer) -> None:
        self._directory = directory
        self._database = database
        self._renderer = renderer

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/board", self.board)]

    async def board(self, request: web.Request) -> web.Response:
        """Of the pipeline that is asked for, else of the one in which most contacts are."""
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
            columns=columns_of(self._directory, pipeline, account) if pipeline else [],
        )  # fmt: skip

    def _chosen(self, pipelines: Sequence[Pipeline], name: str) -> Pipeline | None:
        used = Counter[str]()
        for (pipeline, _), count in self._directory.by_stage().items():
            used[pipeline] += count
        by_use = sorted(pipelines, key=lambda each: (each.name != name, -used[each.name]))
        return by_use[0] if by_use else None
