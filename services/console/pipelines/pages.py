"""The page of pipelines, their stages and score ranges."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from services.console.auth.auth_middleware import ACCESS
from services.console.index.contact_index import ContactIndex
from services.console.pipelines.form import InvalidPipelineError, PipelineForm, form_of, pipeline_of, submitted
from services.console.view.rendering import Renderer
from shared.domain.pipelines import TEMPLATES, Pipeline, template
from shared.store.accounts import AccountStore
from shared.store.pipelines import DuplicatePipelineError, OutdatedPipelineError, PipelineStore

PATH = "/pipelines"


class PipelinePages:
    def __init__(
        self, contact_index: ContactIndex, accounts: AccountStore, pipelines: PipelineStore, renderer: Renderer
    ) -> None:
        self._contact_index = contact_index
        self._accounts = accounts
        self._pipelines = pipelines
        self._renderer = renderer

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(PATH, self.show_all),
            web.post(PATH, self.save),
            web.post("/pipelines/template", self.add_template),
        ]

    async def show_all(self, request: web.Request) -> web.Response:
        return await self._page(request)

    async def save(self, request: web.Request) -> web.Response:
        """Show a refused form again as it was typed, with its error."""
        try:
            form = submitted(await request.post())
        except InvalidPipelineError as error:
            raise web.HTTPBadRequest(text=f"Not saved: {error}.") from None
        try:
            pipeline = await self._put(pipeline_of(form), form.edition)
        except KeyError:
            raise web.HTTPNotFound(text="This pipeline no longer exists.") from None
        except (DuplicatePipelineError, ValueError) as error:
            return await self._page(request, form, error)
        except OutdatedPipelineError as error:
            current = await self._pipelines.get(form.name)
            return await self._page(request, replace(form, edition=current.edition if current else ""), error)
        raise self._renderer.redirect(PATH, f"{pipeline.name} was saved.")

    async def _put(self, pipeline: Pipeline, edition: str) -> Pipeline:
        return await (self._pipelines.replace(pipeline, edition) if edition else self._pipelines.add(pipeline))

    async def add_template(self, request: web.Request) -> web.Response:
        wanted = template(str((await request.post()).get("name", "")))
        if wanted is None:
            raise web.HTTPNotFound(text="There is no such template.")
        try:
            await self._pipelines.add(wanted)
        except DuplicatePipelineError as error:
            raise self._renderer.redirect(PATH, f"Not added: {error}.", is_problem=True) from None
        raise self._renderer.redirect(PATH, f"{wanted.name} was added.")

    async def _page(
        self, request: web.Request, form: PipelineForm | None = None, error: Exception | None = None
    ) -> web.Response:
        pipelines, accounts = await self._pipelines.all(), await self._accounts.all()
        known, used = {each.name for each in pipelines}, {account.pipeline for account in accounts}
        forms = {each.name: form_of(each) for each in pipelines}
        if form and form.edition:
            forms[form.name] = form
        return self._renderer.page(
            request, "pipelines.html", request[ACCESS], status=400 if error else 200,
            pipelines=sorted(pipelines, key=lambda each: each.name not in used),
            missing=[each.name for each in TEMPLATES if each.name not in known],
            accounts=accounts,
            contacts=self._contact_index.by_stage(),
            forms=forms,
            new=form if form and not form.edition else PipelineForm(),
            submitted_form=form,
            error=error,
            error_row=getattr(error, "row", None),
        )  # fmt: skip
