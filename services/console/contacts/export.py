"""Exports contacts as a file that is streamed, so that memory does not grow with their number."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

from aiohttp import web

from shared.contract.contacts import Contact
from shared.domain.contact_export import MEDIA_TYPES, Format, write_contact, write_header

FLUSH_BYTES = 64 * 1024


async def send_contacts(request: web.Request, contacts: AsyncIterator[Contact], form: Format) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{MEDIA_TYPES[form]}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="contacts.{form}"',
        }
    )
    await response.prepare(request)
    async for part in _parts(contacts, form):
        await response.write(part)
    await response.write_eof()
    return response


async def _parts(contacts: AsyncIterator[Contact], form: Format) -> AsyncIterator[bytes]:
    sink = io.StringIO()
    write_header(form, sink)
    async for contact in contacts:
        write_contact(contact, form, sink)
        if sink.tell() > FLUSH_BYTES:
            yield _drain(sink)
    yield _drain(sink)


def _drain(sink: io.StringIO) -> bytes:
    text = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return text.encode(errors="replace")
