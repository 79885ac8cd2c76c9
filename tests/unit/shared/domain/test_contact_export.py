"""Contacts exported as CSV and JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

import pytest

from shared.contract.contacts import Contact, Name, NameSource
from shared.domain.contact_export import COLUMNS, Format, escape_formula, write_contacts
from tests.support.contacts import contact
from tests.support.making import said


async def some(*contacts: Contact) -> AsyncIterator[Contact]:
    for each in contacts:
        yield each


async def written(form: Format, *contacts: Contact) -> str:
    sink = io.StringIO(newline="")
    assert await write_contacts(some(*contacts), form, sink) == len(contacts)
    return sink.getvalue()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_cell_begins_as_a_formula(start: str) -> None:
    assert escape_formula(f"{start}1+1") == f"'{start}1+1"


@pytest.mark.parametrize("text", ["", "Maria", "a=b", "'quoted", "60"])
def test_other_cells_are_unchanged(text: str) -> None:
    assert escape_formula(text) == text


async def test_a_csv_file_has_every_column() -> None:
    hostile = contact(events=[said("call 0917 123 4567 or me@example.org", 1)]).model_copy(
        update={
            "name": Name(first='=HYPERLINK("http://x","y")', source=NameSource.PERSON),
            "notes": 'a "b",\r\nc',
            "tags": ("a", "b"),
        }
    )
    (row,) = csv.DictReader(io.StringIO(await written(Format.CSV, hostile), newline=""))
    assert list(row) == list(COLUMNS)
    assert row["name"] == '\'=HYPERLINK("http://x","y")'
    assert (row["notes"], row["tags"], row["emails"], row["phones"]) == (
        'a "b",\r\nc', "a;b", "me@example.org", "'+639171234567"
    )  # fmt: skip
    assert (row["score"], row["status"], row["stage"], row["last_outbound_at"]) == (
        "60", "QUALIFIED", "Proposal Sent", ""
    )  # fmt: skip
    assert row["last_inbound_at"] == "2026-11-24T09:00:01.000Z"


async def test_an_empty_csv_file_has_its_header() -> None:
    assert await written(Format.CSV) == ",".join(COLUMNS) + "\r\n"


async def test_json_lines_contain_whole_contacts() -> None:
    known = contact()
    (line,) = (await written(Format.JSONL, known)).splitlines()
    assert Contact.model_validate_json(line) == known
