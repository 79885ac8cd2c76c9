"""`/api/contacts…`: find, read and change contacts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from aiohttp import web
from aiohttp.typedefs import Handler

from services.console.api import models, requests
from services.console.api.bodies import from_body, from_query, json_of
from services.console.contacts.contact_reader import load_contact_details
from services.console.contacts.export import send_contacts
from services.console.contacts.form import MAX_BULK_CONTACTS
from services.console.contacts.service import BusyError, ContactChanges, apply_to_each
from services.console.index.contact_index import ContactIndex
from services.console.index.list_query import ListQuery, find_rows, list_page
from shared.domain.contact_edits import InvalidEditError
from shared.domain.contact_export import Format
from shared.store.contact_editing import NoContactError
from shared.store.contacts import Contacts
from shared.store.mongo import Database

NO_CONTACT = "there is no such contact"


class ContactApi:
    def __init__(self, contact_index: ContactIndex, database: Database, changes: ContactChanges) -> None:
        self._contact_index = contact_index
        self._database = database
        self._changes = changes

    def handlers(self) -> dict[str, Handler]:
        return {
            "list_contacts": self.listed,
            "export_csv": lambda request: self._export(request, Format.CSV),
            "export_jsonl": lambda request: self._export(request, Format.JSONL),
            "change_contacts": self.change,
            "show_contact": self.one,
            "edit_contact": self.edit,
            "forget_contact": self.erase,
            "analyse_contact": self.analyse,
        }

    async def listed(self, request: web.Request) -> web.Response:
        query = from_query(requests.ContactQuery, request)
        page = list_page(self._contact_index, list_query_of(query, page=query.page))
        rows = [models.row_json(row) for row in page.rows]
        return json_of(
            models.ContactPage(contacts=rows, found=page.found, of=page.of, page=page.number, pages=page.pages)
        )

    async def _export(self, request: web.Request, form: Format) -> web.StreamResponse:
        ids = [
            row.contact_id
            for row in find_rows(self._contact_index, list_query_of(from_query(requests.ExportQuery, request)))
        ]
        return await send_contacts(request, Contacts(self._database).read_all(ids), form)

    async def one(self, request: web.Request) -> web.Response:
        page = from_query(requests.MessagesQuery, request).page
        details = await load_contact_details(self._database, request.match_info["contact_id"], page)
        if details is None:
            raise web.HTTPNotFound(text=NO_CONTACT)
        shown = details.message_page
        body = models.ContactWhole(
            contact=details.contact, is_provisional=details.contact.is_provisional,
            scores=details.scores, activities=details.activities,
            messages=tuple(map(models.message_json, shown.messages)), found=shown.found, page=shown.page,
            pages=shown.pages,
        )  # fmt: skip
        return json_of(body)

    async def edit(self, request: web.Request) -> web.Response:
        edit = (await from_body(requests.EditRequest, request)).edit()
        try:
            return json_of(await self._changes.edit(request.match_info["contact_id"], edit))
        except NoContactError:
            raise web.HTTPNotFound(text=NO_CONTACT) from None
        except InvalidEditError as error:
            raise web.HTTPConflict(text=str(error)) from None

    async def erase(self, request: web.Request) -> web.Response:
        try:
            await self._changes.erase(request.match_info["contact_id"])
        except NoContactError:
            raise web.HTTPNotFound(text=NO_CONTACT) from None
        except BusyError as error:
            raise web.HTTPConflict(text=str(error)) from None
        return web.Response(status=204)

    async def analyse(self, request: web.Request) -> web.Response:
        try:
            await self._changes.analyse(request.match_info["contact_id"])
        except NoContactError:
            raise web.HTTPNotFound(text=NO_CONTACT) from None
        return web.Response(status=202)

    async def change(self, request: web.Request) -> web.Response:
        bulk = await from_body(requests.BulkRequest, request)
        ids = list(dict.fromkeys((*bulk.contact_ids, *self._matching(bulk.matching))))
        if len(ids) > MAX_BULK_CONTACTS:
            raise web.HTTPConflict(text=f"at most {MAX_BULK_CONTACTS:,} contacts at once, not {len(ids):,}")
        refused = await apply_to_each(ids, self._action(bulk))
        outcomes = [models.ContactOutcome(contact_id=each, error=refused.get(each)) for each in ids]
        return json_of(models.BulkOutcome(done=len(ids) - len(refused), outcomes=outcomes))

    def _matching(self, filters: requests.Filters | None) -> Iterable[str]:
        return (row.contact_id for row in find_rows(self._contact_index, list_query_of(filters))) if filters else ()

    def _action(self, bulk: requests.BulkRequest) -> Callable[[str], Awaitable[object]]:
        actions: dict[str, Callable[[str], Awaitable[object]]] = {
            "edit": lambda contact_id: self._changes.edit(contact_id, bulk.edit.edit()),
            "analyse": self._changes.analyse,
            "forget": self._changes.erase,
        }
        return actions[bulk.action]


def list_query_of(query: requests.Filters, page: int = 1) -> ListQuery:
    values: dict[str, str] = {name: value or "" for name, value in query.model_dump(exclude={"page"}).items()}
    return replace(ListQuery(page=page), **values)  # type: ignore[arg-type]
