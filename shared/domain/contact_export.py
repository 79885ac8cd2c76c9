"""Contacts as files for other programs: JSON lines, or CSV for a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import AsyncIterator, Callable, Mapping
from enum import StrEnum
from typing import TextIO

from shared.contract.contacts import Contact
from shared.contract.events import format_instant

FORMULA = re.compile("(?:^|(?<=[;\t\r\n])) *(?=[=+@\uff1d\uff0b\uff0d\uff20-])|^(?=[\t\r\n])")
"""Matches where a spreadsheet would read a formula, also with the full-width forms of the same characters. In a file
with semicolons as separators, a cell may begin inside ours, also after a line end.

Source: https://owasp.org/www-community/attacks/CSV_Injection."""


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


MEDIA_TYPES = {Format.CSV: "text/csv", Format.JSONL: "application/jsonl"}

COLUMNS: Mapping[str, Callable[[Contact], object]] = {
    "contact_id": lambda contact: contact.contact_id,
    "version": lambda contact: contact.version,
    "platform": lambda contact: contact.platform,
    "account_id": lambda contact: contact.account_id,
    "customer_id": lambda contact: contact.customer_id,
    "name": lambda contact: contact.name.full,
    "username": lambda contact: contact.name.username,
    "emails": lambda contact: " ".join(contact.emails),
    "phones": lambda contact: " ".join(contact.phones),
    "score": lambda contact: contact.analysis and contact.analysis.lead_score,
    "status": lambda contact: contact.status,
    "confidence": lambda contact: contact.analysis and contact.analysis.confidence,
    "source": lambda contact: contact.analysis and contact.analysis.source,
    "pipeline": lambda contact: contact.stage and contact.stage.pipeline,
    "stage": lambda contact: contact.stage and contact.stage.name,
    "language": lambda contact: contact.analysis and contact.analysis.language,
    "summary": lambda contact: contact.analysis and contact.analysis.summary,
    "next_action": lambda contact: contact.analysis and contact.analysis.next_action,
    "last_inbound_at": lambda contact: contact.last_inbound_at and format_instant(contact.last_inbound_at),
    "last_outbound_at": lambda contact: contact.last_outbound_at and format_instant(contact.last_outbound_at),
    "messages_inbound": lambda contact: contact.messages_inbound,
    "messages_outbound": lambda contact: contact.messages_outbound,
    "tags": lambda contact: ";".join(contact.tags),
    "notes": lambda contact: contact.notes,
    "is_provisional": lambda contact: contact.stage and str(contact.is_provisional).lower(),
}
"""Columns of a CSV file; new ones come last. A missing value is an empty cell, times are UTC."""


def row(contact: Contact) -> list[str]:
    cells = (column(contact) for column in COLUMNS.values())
    return [escape_formula("" if cell is None else str(cell)) for cell in cells]


def escape_formula(cell: str) -> str:
    """Put an apostrophe before a formula, as a customer chooses their own name and words."""
    return FORMULA.sub(r"\g<0>'", cell)


async def write_contacts(contacts: AsyncIterator[Contact], form: Format, sink: TextIO) -> int:
    """Write the contacts one by one and return their number. Memory does not grow with it."""
    number = 0
    write_header(form, sink)
    async for contact in contacts:
        write_contact(contact, form, sink)
        number += 1
    return number


def write_header(form: Format, sink: TextIO) -> None:
    if form is Format.CSV:
        csv.writer(sink).writerow(COLUMNS)


def write_contact(contact: Contact, form: Format, sink: TextIO) -> None:
    if form is Format.CSV:
        csv.writer(sink).writerow(row(contact))
    else:
        sink.write(contact.model_dump_json(exclude_none=True) + "\n")
