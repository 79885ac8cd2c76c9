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

PAGE_SIZE = 50
DEFAULT_SORT = "-score"
DESCENDING_FIRST = frozenset({"score", "inbound"})
"""Columns of which the greatest is looked for first."""
NO_STAGE = "none"
MAX_TEXT = 200

RowFilter = Callable[[list[Row]], list[Row]]


@dataclass(frozen=True, slots=True)
class ListQuery:
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
        list_query = replace(self, **changed)  # type: ignore[arg-type]
        told = {each.name: getattr(list_query, each.name) for each in fields(list_query)}
        shown = {name: value for name, value in told.items() if value != _DEFAULTS[name]}
        return f"{path}?{urlencode(shown)}" if shown else path

    def sorted_by(self, column: str) -> str:
        """What a click on a column's head asks for: the other direction where it is sorted by it already."""
        if self.column == column:
            return column if self.is_descending else f"-{column}"
        return f"-{column}" if column in DESCENDING_FIRST else column


_DEFAULTS: Mapping[str, object] = {each.name: each.default for each in fields(ListQuery)}
_FILTERS = tuple(name for name in _DEFAULTS if name not in {"sort", "page"})
_CLOSED = {
    "platform": frozenset(Platform),
    "band": frozenset(Band),
    "status": frozenset(LeadStatus),
    "source": frozenset(AnalysisSource),
}


def parse_list_query(query: MultiMapping[str]) -> ListQuery:
    """What makes no sense is as if it were not there: a URL is shared, cut and typed."""
    told = {name: query.get(name, "").strip()[:MAX_TEXT] for name in _FILTERS}
    for name, allowed in _CLOSED.items():
        told[name] = told[name] if told[name] in allowed else ""
    for name in ("since", "until"):
        told[name] = told[name] if utc_day(told[name]) else ""
    sort = query.get("sort", DEFAULT_SORT)
    known_sort = sort if sort.removeprefix("-") in SORTS else DEFAULT_SORT
    return ListQuery(**told, sort=known_sort, page=page_number(query))


def page_number(query: MultiMapping[str]) -> int:
    """The first where none is meant that there can be."""
    page = query.get("page", "1")
    return max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 8 else 1


@dataclass(frozen=True, slots=True)
class ListPage:
    """`first` and `last` are places counted from 1; both 0 when there is none."""

    rows: list[Row]
    found: int
    of: int
    number: int
    pages: int

    @property
    def first(self) -> int:
        return (self.number - 1) * PAGE_SIZE + 1 if self.rows else 0

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1 if self.rows else 0


def find_rows(contact_index: ContactIndex, list_query: ListQuery) -> list[Row]:
    """All that match, in the order that is asked for."""
    words, column, descending = plain(list_query.q).split(), list_query.column, list_query.is_descending
    rows = (
        contact_index.search(words, column, descending=descending)
        if words
        else contact_index.ordered(column, descending=descending)
    )
    for narrowed in _conditions(list_query):
        rows = narrowed(rows)
    return rows


def list_page(contact_index: ContactIndex, list_query: ListQuery) -> ListPage:
    """A page beyond the last is the last."""
    found = find_rows(contact_index, list_query)
    pages = max(-(-len(found) // PAGE_SIZE), 1)
    number = min(list_query.page, pages)
    return ListPage(found[(number - 1) * PAGE_SIZE : number * PAGE_SIZE], len(found), len(contact_index), number, pages)


def _conditions(list_query: ListQuery) -> Iterator[RowFilter]:
    """The cheap ones first. Each is a loop of its own: a call for each of very many rows costs more than the look."""
    if list_query.account:
        platform, _, account_id = list_query.account.rpartition(":")
        yield lambda rows: [row for row in rows if row.account_id == account_id and row.platform == platform]
    if list_query.platform:
        yield lambda rows: [row for row in rows if row.platform == list_query.platform]
    if list_query.band:
        scores = {score for score in range(1, 101) if band(score) == list_query.band}
        yield lambda rows: [row for row in rows if row.score in scores]
    if list_query.status:
        yield lambda rows: [row for row in rows if row.status == list_query.status]
    if list_query.stage:
        wanted = "" if list_query.stage == NO_STAGE else list_query.stage
        yield lambda rows: [row for row in rows if row.stage == wanted]
    if list_query.source:
        yield lambda rows: [row for row in rows if row.source == list_query.source]
    if list_query.tag:
        yield lambda rows: [row for row in rows if list_query.tag in row.tags]
    yield from _times(utc_day(list_query.since), utc_day(list_query.until))


def _times(since: datetime | None, until: datetime | None) -> Iterator[RowFilter]:
    """Both days included."""
    if since:
        yield lambda rows: [row for row in rows if row.last_message_at >= since]
    if until:
        end = until.replace(hour=23, minute=59, second=59, microsecond=999_999)
        yield lambda rows: [row for row in rows if row.last_message_at <= end]
