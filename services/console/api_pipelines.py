"""`/api/pipelines…`."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from services.console import api_models as models
from services.console.api_bodies import json_of
from shared.pipeline_store import PipelineStore


class PipelineApi:
    def __init__(self, pipelines: PipelineStore) -> None:
        self._pipelines = pipelines

    def handlers(self) -> dict[str, Handler]:
        return {"list_pipelines": self.listed}

    async def listed(self, _request: web.Request) -> web.Response:
        return json_of(models.PipelineList(pipelines=await self._pipelines.all()))
