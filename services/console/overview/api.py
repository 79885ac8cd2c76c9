"""`/api/overview` and `/api/board`: the state of the system, and the contacts in each stage."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from services.console.api import models, requests
from services.console.api.bodies import from_query, json_of
from services.console.board.columns import columns_of
from services.console.index.contact_index import ContactIndex
from services.console.overview.system_status import SystemStatus
from shared.contract.contacts import AnalysisSource
from shared.store.pipelines import PipelineStore


class OverviewApi:
    def __init__(self, contact_index: ContactIndex, pipelines: PipelineStore, system_status: SystemStatus) -> None:
        self._contact_index = contact_index
        self._pipelines = pipelines
        self._system_status = system_status

    def handlers(self) -> dict[str, Handler]:
        return {"show_overview": self.overview, "show_board": self.board}

    async def overview(self, _request: web.Request) -> web.Response:
        status, rates, sources = self._system_status, self._system_status.rates(), self._contact_index.by_source()
        return json_of(
            models.OverviewInfo(
                contacts=len(self._contact_index),
                events_a_second=rates[-1] if rates else None,
                lag=status.lag,
                conversations_due=status.due,
                analyses={source: sources[source] for source in AnalysisSource},
                dead_letters=None if status.dead_letters is None else len(status.dead_letters),
                spool=status.spool,
            )
        )

    async def board(self, request: web.Request) -> web.Response:
        pipeline = await self._pipelines.get(from_query(requests.BoardQuery, request).pipeline)
        if pipeline is None:
            raise web.HTTPNotFound(text="there is no such pipeline")
        columns = [models.column_json(column) for column in columns_of(self._contact_index, pipeline)]
        return json_of(models.Board(pipeline=pipeline.name, columns=columns))
