"""`/api/pipelines…`."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from services.console.api import models, requests
from services.console.api.bodies import error_text, from_body, json_of
from shared.domain.pipelines import TEMPLATES, Pipeline
from shared.store.pipelines import DuplicatePipelineError, OutdatedPipelineError, PipelineStore

NO_PIPELINE = "there is no such pipeline"


class PipelineApi:
    def __init__(self, pipelines: PipelineStore) -> None:
        self._pipelines = pipelines

    def handlers(self) -> dict[str, Handler]:
        return {
            "list_pipelines": self.show_all,
            "list_templates": self.templates,
            "add_pipeline": self.add,
            "show_pipeline": self.show,
            "replace_pipeline": self.replace,
        }

    async def show_all(self, _request: web.Request) -> web.Response:
        return _pipelines(await self._pipelines.all())

    async def templates(self, _request: web.Request) -> web.Response:
        return _pipelines(TEMPLATES)

    async def show(self, request: web.Request) -> web.Response:
        pipeline = await self._pipelines.get(request.match_info["pipeline"])
        if pipeline is None:
            raise web.HTTPNotFound(text=NO_PIPELINE)
        return json_of(models.pipeline_json(pipeline))

    async def add(self, request: web.Request) -> web.Response:
        body = await from_body(requests.PipelineRequest, request)
        try:
            added = await self._pipelines.add(_pipeline(body.name, body.stages))
        except (DuplicatePipelineError, ValueError) as error:
            raise web.HTTPConflict(text=str(error)) from None
        return json_of(models.pipeline_json(added), status=201)

    async def replace(self, request: web.Request) -> web.Response:
        body = await from_body(requests.StagesRequest, request)
        pipeline = _pipeline(request.match_info["pipeline"], body.stages)
        try:
            return json_of(models.pipeline_json(await self._pipelines.replace(pipeline, body.edition)))
        except KeyError:
            raise web.HTTPNotFound(text=NO_PIPELINE) from None
        except (OutdatedPipelineError, ValueError) as error:
            raise web.HTTPConflict(text=str(error)) from None


def _pipelines(pipelines: Sequence[Pipeline]) -> web.Response:
    return json_of(models.PipelineList(pipelines=list(map(models.pipeline_json, pipelines))))


def _pipeline(name: str, stages: Sequence[requests.StageRequest]) -> Pipeline:
    try:
        return Pipeline(name=name, stages=tuple(each.stage() for each in stages))
    except ValidationError as error:
        raise web.HTTPConflict(text=error_text(error)) from None
