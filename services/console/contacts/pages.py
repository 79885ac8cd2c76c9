"""The list of contacts, its export, and the page of one."""

from __future__ import annotations

from aiohttp import web

from services.console.auth.auth_middleware import ACCESS
from services.console.contacts.contact_reader import contacts_of, whole_of
from services.console.contacts.export import send_contacts
from services.console.contacts.score_plot import plot
from services.console.index.contact_index import ContactIndex
from services.console.index.listing import find, page_number, page_of, parse
from services.console.view.form_error import Refused
from services.console.view.rendering import Renderer
from shared.domain.contact_export import Format
from shared.store.accounts import AccountStore
from shared.store.mongo import Database
from shared.store.pipelines import PipelineStore


class ContactPages:
    def __init__(self, directory: ContactIndex, database: Database, renderer: Renderer) -> None:
        self._directory = directory
        self._database = database
        self._renderer = renderer

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/contacts", self.listed),
            web.get("/contacts.csv", self.exported),
            web.get("/contacts/{contact_id}", self.one),
        ]

    async def listed(self, request: web.Request) -> web.Response:
        asked = parse(request.query)
        accounts = await AccountStore(self._database).all()
        pipelines = await PipelineStore(self._database).all()
        stages = dict.fromkeys(stage.name for pipeline in pipelines for stage in pipeline.stages)
        return self._renderer.page(
            request, "contacts.html", request[ACCESS],
            asked=asked,
            page=page_of(self._directory, asked),
            accounts={account.key: account.name for account in accounts},
            stages=list(stages),
            tags=self._directory.tags(),
        )  # fmt: skip

    async def exported(self, request: web.Request) -> web.StreamResponse:
        """All that the filters leave, in their order."""
        ids = [each.contact_id for each in find(self._directory, parse(request.query))]
        return await send_contacts(request, contacts_of(self._database, ids), Format.CSV)

    async def one(self, request: web.Request) -> web.Response:
        return await contact_page(request, self._database, self._renderer)


async def contact_page(
    request: web.Request, database: Database, renderer: Renderer, refused: Refused | None = None
) -> web.Response:
    """Of the contact that the path names."""
    page = page_number(request.query)
    whole = await whole_of(database, request.match_info["contact_id"], page)
    if whole is None:
        raise web.HTTPNotFound(text="There is no such contact. Perhaps they were forgotten.")
    return renderer.page(
        request, "contact.html", request[ACCESS], status=400 if refused else 200,
        whole=whole,
        contact=whole.contact,
        messages=whole.messages,
        plot=plot(whole.scores),
        refused=refused or Refused(),
    )  # fmt: skip
