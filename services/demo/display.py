"""The demo's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.demo.checks import Check
from shared.contract.contacts import AnalysisSource, Band, Contact, band

MAX_SHOWN_CONTACTS = 20
BAR_CELLS = 5
NAME_CELLS = 16
"""With this width a row fits in a terminal of 80 columns."""
COLOURS = {Band.COLD: "blue", Band.WARM: "yellow", Band.HOT: "dark_orange", Band.READY: "green"}


def score_bar(score: int) -> Text:
    """Return the score and a bar of five cells, which is readable without colour."""
    filled = -(-score * BAR_CELLS // 100)
    return Text(f"{score:>3} {'■' * filled}{'□' * (BAR_CELLS - filled)}", style=COLOURS[band(score)])


def ago(then: datetime | None, now: datetime) -> str:
    if then is None:
        return "–"
    seconds = max(0, int((now - then).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "now"


def contacts_table(contacts: Sequence[Contact], now: datetime) -> RenderableType:
    newest = sorted(contacts, key=lambda each: each.last_message_at or each.created_at, reverse=True)
    table = Table(
        title=f"{len(contacts)} contacts, latest message first",
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 1, 0, 0),
    )
    table.add_column("name", header_style="dim", no_wrap=True, overflow="ellipsis", width=NAME_CELLS)
    for column in ("platform", "score", "status", "stage", "source", "last\nmessage"):
        table.add_column(column, header_style="dim", no_wrap=True)
    for contact in newest[:MAX_SHOWN_CONTACTS]:
        table.add_row(*_row(contact, now))
    more = len(newest) - MAX_SHOWN_CONTACTS
    return Group(table, Text(f"… and {more} more" if more > 0 else "", style="dim"), _stages(contacts))


def _row(contact: Contact, now: datetime) -> list[RenderableType]:
    analysis = contact.analysis
    return [
        contact.name.full,
        contact.platform.value.capitalize(),
        score_bar(analysis.lead_score) if analysis else "–",
        analysis.lead_status.value if analysis else "–",
        contact.stage.name if contact.stage else "–",
        _source(analysis.source) if analysis else "–",
        ago(contact.last_message_at, now),
    ]


def _source(source: AnalysisSource) -> str:
    return "AI" if source is AnalysisSource.AI else "fallback"


def _stages(contacts: Sequence[Contact]) -> Text:
    counts = Counter(contact.stage.name for contact in contacts if contact.stage)
    return Text("Stages: " + " · ".join(f"{name} {number}" for name, number in counts.most_common()))


def checks_table(checks: Sequence[Check]) -> Table:
    table = Table(
        title="Expected and actual results", title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0)
    )
    table.add_column("", width=1)
    table.add_column("check", header_style="dim", no_wrap=True)
    for column in ("old system", "expected", "actual"):
        table.add_column(column, justify="right", header_style="dim", no_wrap=True)
    for check in checks:
        mark = Text("✓", style="green") if check.passed else Text("✗", style="bold red")
        table.add_row(mark, check.name, check.before, check.expected, check.actual)
    return table


def addresses_table(where: Mapping[str, str]) -> Table:
    table = Table(title="Still running", title_justify="left", title_style="bold", box=None, show_header=False)
    for name, address in where.items():
        table.add_row(name, address)
    return table
