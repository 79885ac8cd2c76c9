"""Contacts as a person at a terminal sees them."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from services.cli.contact_views import contact_line, contact_text, show_contacts
from shared.contract.contacts import AnalysisSource, Contact, LeadStatus, Name, NameSource
from shared.domain.contact_edits import ContactEdit, edited
from tests.support.contacts import SALES, analysis, contact
from tests.support.making import at


def shown(*contacts: Contact) -> str:
    sink = StringIO()
    show_contacts(Console(file=sink, force_terminal=True, width=120, color_system=None), contacts)
    return sink.getvalue()


def test_a_terminal_gets_a_table_with_whole_ids() -> None:
    table = shown(contact())
    assert table.splitlines()[0].split() == ["id", "score", "status", "by", "stage", "name", "last", "message"]
    for cell in ("messenger:371:8130000000654321", "60", "QUALIFIED", "ai", "Proposal Sent", "2026-11-24 09:00"):
        assert cell in table


def test_without_a_terminal_each_contact_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_contacts(Console(file=StringIO()), [contact(), contact()])
    assert capsys.readouterr().out.splitlines() == [contact_line(contact())] * 2


def test_a_status_set_by_a_person_is_marked() -> None:
    change = edited(
        contact(),
        ContactEdit(status=LeadStatus.WON, stage="Closed Won", notes="call", tags_added=("vip",)),
        SALES,
        at(9),
    )
    assert change is not None
    assert change.activity is not None
    assert " 60 WON (person)  Closed Won" in contact_line(change.contact)
    text = "\n".join(contact_text(change.contact, [change.activity]))
    for told in ("tags: vip", "notes: call", "set by a person: lead_status, notes, stage, tags", "by person, score 60"):
        assert told in text


def test_control_characters_of_a_name_are_replaced() -> None:
    hostile = contact().model_copy(
        update={"name": Name(first="\x1b[2J[red]x\u202e", source=NameSource.PERSON), "notes": "a\r\x1b]0;b\x07"}
    )
    everything = shown(hostile) + "".join(contact_text(hostile, ())) + contact_line(hostile)
    assert not {"\x1b", "\u202e", "\r", "\x07"} & set(everything)
    assert "[red]x" in everything


def test_a_deal_that_a_fallback_closed_is_marked_as_provisional() -> None:
    closed = contact(verdict=analysis(90, LeadStatus.WON, source=AnalysisSource.FALLBACK))
    assert "Closed Won (provisional)" in contact_line(closed)
    assert "Closed Won (provisional)" in shown(closed)
    assert "provisional" not in contact_line(contact(verdict=analysis(90, LeadStatus.WON)))
