"""Contacts as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.contract.contacts import Activity, Contact


def show_contacts(console: Console, contacts: Sequence[Contact]) -> None:
    """Print a table on a terminal, else one line for each contact."""
    if console.is_terminal:
        console.print(contacts_table(contacts))
    else:
        for contact in contacts:
            print(contact_line(contact))


def contacts_table(contacts: Iterable[Contact]) -> Table:
    """Return the table. Names and stages wrap on a narrow terminal; ids do not, as other commands take them."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for column in ("id", "score", "status", "by", "stage", "name", "last message"):
        table.add_column(column, no_wrap=column not in ("stage", "name"), overflow="fold")
    for each in contacts:
        analysis = each.analysis
        cells = (
            each.contact_id,
            str(analysis.lead_score) if analysis else "–",
            each.status or "–",
            _by(each),
            _stage(each, "–"),
            each.name.full,
            _minute(each.last_message_at),
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def contact_line(contact: Contact) -> str:
    analysis = contact.analysis
    score = f"{analysis.lead_score:>3} {contact.status} ({_by(contact)})" if analysis else "  – not analysed"
    stage = _stage(contact, "no stage")
    return printable(f"{contact.contact_id}  v{contact.version}  {score}  {stage}  {contact.name.full}")


def contact_text(contact: Contact, activities: Iterable[Activity]) -> Iterator[str]:
    """Yield the lines about a contact: score and stage, details, analysis, notes, activities."""
    yield contact_line(contact)
    known = {
        "e-mail": ", ".join(contact.emails),
        "phone": ", ".join(contact.phones),
        "username": contact.name.username or "",
        "last inbound": f"{_minute(contact.last_inbound_at)} ({contact.messages_inbound} messages)",
        "last outbound": f"{_minute(contact.last_outbound_at)} ({contact.messages_outbound} messages)",
        "tags": ", ".join(contact.tags),
        "set by a person": ", ".join(contact.edited),
    }
    if analysis := contact.analysis:
        model = f"{analysis.model or analysis.source}, {_minute(analysis.analysed_at)}"
        known |= {
            "summary": analysis.summary,
            "next action": analysis.next_action or "",
            "reasoning": analysis.reasoning,
            "confidence": f"{analysis.confidence} of 100 ({model})",
        }
    known["notes"] = contact.notes
    yield from (f"  {name}: {printable(value)}" for name, value in known.items() if value)
    yield from (f"  {activity_line(each)}" for each in activities)


def activity_line(activity: Activity) -> str:
    score = "" if activity.score is None else f", score {activity.score}"
    moved = f"{activity.from_stage or 'no stage'} -> {activity.to_stage}"
    return printable(f"version {activity.version}: {moved} (by {activity.source}{score}, {_minute(activity.at)})")


def printable(text: str) -> str:
    """Replace control characters, with which a name could write to other parts of the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _by(contact: Contact) -> str:
    if contact.lead_status:
        return "person"
    return contact.analysis.source if contact.analysis else "–"


def _stage(contact: Contact, none: str) -> str:
    name = contact.stage.name if contact.stage else none
    return f"{name} (provisional)" if contact.is_provisional else name


def _minute(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "never"
