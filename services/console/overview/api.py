"""`/api/overview` and `/api/board`: how the whole does, and where its contacts stand."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from services.console.api import models, requests
from services.console.api.bodies import from_query, json_of
from services.console.board.columns import columns_of
from services.console.index.contact_index import ContactIndex
from services.console.overview.system_status import Vitals
from shared.contract.contacts import AnalysisSource
from shared.store.pipelines import PipelineStore


class OverviewApi:
    def __init__(self, directory: ContactIndex, pipelines: PipelineStore, vitals: Vitals) -> None:
        self._directory = directory
        self._pipelines = pipelines
        self._vitals = vitals

    def handlers(self) -> dict[str, Handler]:
        return {"show_overview": self.overview, "show_board": self.board}

    async def overview(self, _request: web.Request) -> web.Response:
        vitals, rates, sources = self._vitals, self._vitals.rates(), self._directory.by_source()
        return json_of(
            models.OverviewInfo(
                contacts=len(self._directory),
                events_a_second=rates[-1] if rates else None,
                lag=vitals.lag,
                conversations_due=vitals.due,
                analyses={source: sources[source] for source in AnalysisSource},
                dead_letters=None if vitals.letters is None else len(vitals.letters),
                spool=vitals.spool,
            )
        )

    async def board(self, request: web.Request) -> web.Response:
        pipeline = await self._pipelines.get(from_query(requests.BoardQuery, request).pipeline)
        if pipeline is None:
            raise web.HTTPNotFound(text="there is no such pipeline")
        columns = [models.column_json(column) for column in columns_of(self._directory, pipeline)]
        return json_of(models.Board(pipeline=pipeline.name, columns=columns))
