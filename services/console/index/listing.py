"""What a list of contacts is asked for, as it stands in the URL, and the page of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from urllib.parse import urlencode

from multidict import MultiMapping

from services.console.index.contact_index import SORTS, ContactIndex, Row, plain
from services.console.view.formats import utc_day
from shared.contract.contacts import AnalysisSource, Band, LeadStatus, band
from shared.contract.ids import Platform

PAGE = 50
DEFAULT_SORT = "-score"
DESCENDING_FIRST = frozenset({"score", "inbound"})
"""Columns of which the greatest is looked for first."""
NO_STAGE = "none"
MAX_TEXT = 200

Narrow = Callable[[list[Row]], list[Row]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Empty text leaves out no one. `sort` is a column, with `-` before it for descending."""

    q: str = ""
    account: str = ""
    platform: str = ""
    band: str = ""
    status: str = ""
    stage: str = ""
    tag: str = ""
    source: str = ""
    since: str = ""
    until: str = ""
    sort: str = DEFAULT_SORT
    page: int = field(default=1)

    @property
    def column(self) -> str:
        return self.sort.removeprefix("-")

    @property
    def is_descending(self) -> bool:
        return self.sort.startswith("-")

    @property
    def filters(self) -> dict[str, str]:
        """Those that are set, by name; neither order nor page."""
        return {name: value for name in _FILTERS if (value := getattr(self, name))}

    def url(self, path: str = "/contacts", **changes: object) -> str:
        """With something else asked for; the page is the first again unless it is what changes (or nothing does)."""
        changed = {"page": 1, **changes} if changes else {}
        asked = replace(self, **changed)  # type: ignore[arg-type]
        told = {each.name: getattr(asked, each.name) for each in fields(asked)}
        shown = {name: value for name, value in told.items() if value != _DEFAULTS[name]}
        return f"{path}?{urlencode(shown)}" if shown else path

    def sorted_by(self, column: str) -> str:
        """What a click on a column's head asks for: the other direction where it is sorted by it already."""
        if self.column == column:
            return column if self.is_descending else f"-{column}"
        return f"-{column}" if column in DESCENDING_FIRST else column


_DEFAULTS: Mapping[str, object] = {each.name: each.default for each in fields(Asked)}
_FILTERS = tuple(name for name in _DEFAULTS if name not in {"sort", "page"})
_CLOSED = {
    "platform": frozenset(Platform),
    "band": frozenset(Band),
    "status": frozenset(LeadStatus),
    "source": frozenset(AnalysisSource),
}


def parse(query: MultiMapping[str]) -> Asked:
    """What makes no sense is as if it were not there: a URL is shared, cut and typed."""
    told = {name: query.get(name, "").strip()[:MAX_TEXT] for name in _FILTERS}
    for name, allowed in _CLOSED.items():
        told[name] = told[name] if told[name] in allowed else ""
    for name in ("since", "until"):
        told[name] = told[name] if utc_day(told[name]) else ""
    sort = query.get("sort", DEFAULT_SORT)
    known_sort = sort if sort.removeprefix("-") in SORTS else DEFAULT_SORT
    return Asked(**told, sort=known_sort, page=page_number(query))


def page_number(query: MultiMapping[str]) -> int:
    """The first where none is meant that there can be."""
    page = query.get("page", "1")
    return max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 8 else 1


@dataclass(frozen=True, slots=True)
class Page:
    """`first` and `last` are places counted from 1; both 0 when there is none."""

    rows: list[Row]
    found: int
    of: int
    number: int
    pages: int

    @property
    def first(self) -> int:
        return (self.number - 1) * PAGE + 1 if self.rows else 0

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1 if self.rows else 0


def find(directory: ContactIndex, asked: Asked) -> list[Row]:
    """All that match, in the order that is asked for."""
    words, column, descending = plain(asked.q).split(), asked.column, asked.is_descending
    rows = (
        directory.with_words(words, column, descending=descending)
        if words
        else directory.ordered(column, descending=descending)
    )
    for narrowed in _conditions(asked):
        rows = narrowed(rows)
    return rows


def page_of(directory: ContactIndex, asked: Asked) -> Page:
    """A page beyond the last is the last."""
    found = find(directory, asked)
    pages = max(-(-len(found) // PAGE), 1)
    number = min(asked.page, pages)
    return Page(found[(number - 1) * PAGE : number * PAGE], len(found), len(directory), number, pages)


def _conditions(asked: Asked) -> Iterator[Narrow]:
    """The cheap ones first. Each is a loop of its own: a call for each of very many rows costs more than the look."""
    if asked.account:
        platform, _, account_id = asked.account.rpartition(":")
        yield lambda rows: [row for row in rows if row.account_id == account_id and row.platform == platform]
    if asked.platform:
        yield lambda rows: [row for row in rows if row.platform == asked.platform]
    if asked.band:
        scores = {score for score in range(1, 101) if band(score) == asked.band}
        yield lambda rows: [row for row in rows if row.score in scores]
    if asked.status:
        yield lambda rows: [row for row in rows if row.status == asked.status]
    if asked.stage:
        wanted = "" if asked.stage == NO_STAGE else asked.stage
        yield lambda rows: [row for row in rows if row.stage == wanted]
    if asked.source:
        yield lambda rows: [row for row in rows if row.source == asked.source]
    if asked.tag:
        yield lambda rows: [row for row in rows if asked.tag in row.tags]
    yield from _times(utc_day(asked.since), utc_day(asked.until))


def _times(since: datetime | None, until: datetime | None) -> Iterator[Narrow]:
    """Both days included."""
    if since:
        yield lambda rows: [row for row in rows if row.last_message_at >= since]
    if until:
        end = until.replace(hour=23, minute=59, second=59, microsecond=999_999)
        yield lambda rows: [row for row in rows if row.last_message_at <= end]
