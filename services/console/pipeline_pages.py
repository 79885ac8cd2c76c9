"""Pipelines: their stages and score ranges, and the templates."""

from __future__ import annotations

from collections import Counter

from aiohttp import web

from services.console.contact_actions import form_of
from services.console.directory import Directory
from services.console.guard import ACCESS
from services.console.pipeline_form import WrongPipelineError, pipeline_of
from services.console.rendering import Renderer
from shared.account_store import AccountStore
from shared.mongo import Database
from shared.pipeline_store import PipelineStore
from shared.pipelines import TEMPLATES, template

HERE = "/pipelines"


class PipelinePages:
    def __init__(self, directory: Directory, database: Database, renderer: Renderer) -> None:
        self._directory = directory
        self._accounts = AccountStore(database)
        self._pipelines = PipelineStore(database)
        self._renderer = renderer

    def routes(self) -> list[web.RouteDef]:
        return [web.get(HERE, self.listed), web.post(HERE, self.save), web.post("/pipelines/template", self.take)]

    async def listed(self, request: web.Request) -> web.Response:
        pipelines = await self._pipelines.all()
        accounts = await self._accounts.all()
        have, used = {each.name for each in pipelines}, {account.pipeline for account in accounts}
        return self._renderer.page(
            request, "pipelines.html", request[ACCESS],
            pipelines=sorted(pipelines, key=lambda each: each.name not in used),
            missing=[each.name for each in TEMPLATES if each.name not in have],
            accounts=accounts,
            contacts=Counter((row.pipeline, row.stage) for row in self._directory.rows()),
        )  # fmt: skip

    async def save(self, request: web.Request) -> web.Response:
        """Ranges that were set by a person and are emptied here are made again."""
        try:
            pipeline = await self._pipelines.put(pipeline_of(await request.post()), keeps_edited=False)
        except (WrongPipelineError, ValueError) as error:
            raise self._renderer.redirect(HERE, f"Not saved: {error}.", is_problem=True) from None
        raise self._renderer.redirect(HERE, f"{pipeline.name} is saved.")

    async def take(self, request: web.Request) -> web.Response:
        wanted = template((await form_of(request)).get("name", ""))
        if wanted is None:
            raise web.HTTPNotFound(text="There is no such template.")
        await self._pipelines.put(wanted)
        raise self._renderer.redirect(HERE, f"{wanted.name} is there.")
