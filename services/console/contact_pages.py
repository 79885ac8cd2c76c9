"""The list of contacts, its export, and the page of one."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

from aiohttp import web

from services.console.contact_reading import contacts_of, whole_of
from services.console.directory import Directory
from services.console.guard import ACCESS
from services.console.listing import find, page_of, parse
from services.console.plot import plot
from services.console.rendering import Renderer
from shared.account_store import AccountStore
from shared.contact_export import COLUMNS, row
from shared.contacts import Contact
from shared.mongo import Database
from shared.pipeline_store import PipelineStore

FLUSH_BYTES = 64 * 1024


class ContactPages:
    def __init__(self, directory: Directory, database: Database, renderer: Renderer) -> None:
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
        """All that the filters leave, in their order. Streamed: their number costs no memory."""
        ids = [each.contact_id for each in find(self._directory, parse(request.query))]
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8",
                "Content-Disposition": 'attachment; filename="contacts.csv"',
            }
        )
        await response.prepare(request)
        async for part in _csv(contacts_of(self._database, ids)):
            await response.write(part)
        await response.write_eof()
        return response

    async def one(self, request: web.Request) -> web.Response:
        whole = await whole_of(self._database, request.match_info["contact_id"])
        if whole is None:
            raise web.HTTPNotFound(text="There is no such contact. Perhaps they were forgotten.")
        return self._renderer.page(
            request, "contact.html", request[ACCESS], whole=whole, contact=whole.contact, plot=plot(whole.scores)
        )


async def _csv(contacts: AsyncIterator[Contact]) -> AsyncIterator[bytes]:
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow(COLUMNS)
    async for contact in contacts:
        writer.writerow(row(contact))
        if sink.tell() > FLUSH_BYTES:
            yield _taken(sink)
    yield _taken(sink)


def _taken(sink: io.StringIO) -> bytes:
    text = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return text.encode(errors="replace")
