"""`/api/pipelines…`: pipelines as programs read and write them."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from services.console.api import models, requests
from services.console.api.bodies import faults, from_body, json_of
from shared.domain.pipelines import TEMPLATES, Pipeline
from shared.store.pipelines import DuplicatePipelineError, OutdatedPipelineError, PipelineStore

NO_PIPELINE = "there is no such pipeline"


class PipelineApi:
    def __init__(self, pipelines: PipelineStore) -> None:
        self._pipelines = pipelines

    def handlers(self) -> dict[str, Handler]:
        return {
            "list_pipelines": self.listed,
            "list_templates": self.templates,
            "add_pipeline": self.add,
            "show_pipeline": self.one,
            "replace_pipeline": self.replace,
        }

    async def listed(self, _request: web.Request) -> web.Response:
        return _list(await self._pipelines.all())

    async def templates(self, _request: web.Request) -> web.Response:
        return _list(TEMPLATES)

    async def one(self, request: web.Request) -> web.Response:
        pipeline = await self._pipelines.get(request.match_info["pipeline"])
        if pipeline is None:
            raise web.HTTPNotFound(text=NO_PIPELINE)
        return json_of(models.pipeline_json(pipeline))

    async def add(self, request: web.Request) -> web.Response:
        asked = await from_body(requests.PipelineRequest, request)
        try:
            made = await self._pipelines.add(_pipeline(asked.name, asked.stages))
        except (DuplicatePipelineError, ValueError) as error:
            raise web.HTTPConflict(text=str(error)) from None
        return json_of(models.pipeline_json(made), status=201)

    async def replace(self, request: web.Request) -> web.Response:
        asked = await from_body(requests.StagesRequest, request)
        pipeline = _pipeline(request.match_info["pipeline"], asked.stages)
        try:
            return json_of(models.pipeline_json(await self._pipelines.replace(pipeline, asked.edition)))
        except KeyError:
            raise web.HTTPNotFound(text=NO_PIPELINE) from None
        except (OutdatedPipelineError, ValueError) as error:
            raise web.HTTPConflict(text=str(error)) from None


def _list(pipelines: Sequence[Pipeline]) -> web.Response:
    return json_of(models.PipelineList(pipelines=list(map(models.pipeline_json, pipelines))))


def _pipeline(name: str, stages: Sequence[requests.StageRequest]) -> Pipeline:
    try:
        return Pipeline(name=name, stages=tuple(each.stage() for each in stages))
    except ValidationError as error:
        raise web.HTTPConflict(text=faults(error)) from None
