"""The list of contacts, its export, and the page of one contact."""

from __future__ import annotations

from aiohttp import web

from services.console.auth.auth_middleware import ACCESS
from services.console.contacts.contact_reader import load_contact_details
from services.console.contacts.export import send_contacts
from services.console.contacts.score_plot import score_plot
from services.console.index.contact_index import ContactIndex
from services.console.index.list_query import find_rows, list_page, page_number, parse_list_query
from services.console.view.form_error import FormError
from services.console.view.rendering import Renderer
from shared.domain.contact_export import Format
from shared.domain.corrections import is_not_a_lead
from shared.store.accounts import AccountStore
from shared.store.contacts import Contacts
from shared.store.mongo import Database
from shared.store.pipelines import PipelineStore

NOT_FOUND = "There is no such contact. It may have been erased."


class ContactPages:
    def __init__(self, contact_index: ContactIndex, database: Database, renderer: Renderer) -> None:
        self._contact_index = contact_index
        self._database = database
        self._renderer = renderer

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/contacts", self.listed),
            web.get("/contacts.csv", self.exported),
            web.get("/contacts/{contact_id}", self.one),
        ]

    async def listed(self, request: web.Request) -> web.Response:
        list_query = parse_list_query(request.query)
        accounts = await AccountStore(self._database).all()
        pipelines = await PipelineStore(self._database).all()
        stages = dict.fromkeys(stage.name for pipeline in pipelines for stage in pipeline.stages)
        return self._renderer.page(
            request, "contacts.html", request[ACCESS],
            list_query=list_query,
            page=list_page(self._contact_index, list_query),
            accounts={account.key: account.name for account in accounts},
            stages=list(stages),
            tags=self._contact_index.tags(),
        )  # fmt: skip

    async def exported(self, request: web.Request) -> web.StreamResponse:
        """Export all contacts that match the filters, in their order."""
        ids = [each.contact_id for each in find_rows(self._contact_index, parse_list_query(request.query))]
        return await send_contacts(request, Contacts(self._database).read_all(ids), Format.CSV)

    async def one(self, request: web.Request) -> web.Response:
        return await contact_page(request, self._database, self._renderer)


async def contact_page(
    request: web.Request, database: Database, renderer: Renderer, form_error: FormError | None = None
) -> web.Response:
    """Return the page of the contact in the path."""
    page = page_number(request.query)
    details = await load_contact_details(database, request.match_info["contact_id"], page)
    if details is None:
        raise web.HTTPNotFound(text=NOT_FOUND)
    return renderer.page(
        request, "contact.html", request[ACCESS], status=400 if form_error else 200,
        details=details,
        contact=details.contact,
        message_page=details.message_page,
        score_plot=score_plot(details.scores),
        is_not_a_lead=is_not_a_lead(details.contact.tags),
        form_error=form_error or FormError(),
    )  # fmt: skip
