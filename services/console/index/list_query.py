"""A query for a list of contacts, as it is in the URL, and the page of contacts it finds. Pure."""

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
"""Columns that a first click sorts in descending order."""
NO_STAGE = "none"
MAX_TEXT = 200

RowFilter = Callable[[list[Row]], list[Row]]


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Filters, order and page. An empty filter matches all. `sort` is a column, with `-` before it for descending."""

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
        """Return the filters that are set, by name."""
        return {name: value for name in _FILTERS if (value := getattr(self, name))}

    def url(self, path: str = "/contacts", **changes: object) -> str:
        """Return the URL of this query with `changes`, which go back to the first page unless they set one."""
        changed = {"page": 1, **changes} if changes else {}
        list_query = replace(self, **changed)  # type: ignore[arg-type]
        values = {each.name: getattr(list_query, each.name) for each in fields(list_query)}
        shown = {name: value for name, value in values.items() if value != _DEFAULTS[name]}
        return f"{path}?{urlencode(shown)}" if shown else path

    def sorted_by(self, column: str) -> str:
        """Return the `sort` of a click on a column's head; a click on the sorted column reverses the order."""
        if self.column == column:
            return column if self.is_descending else f"-{column}"
        return f"-{column}" if column in DESCENDING_FIRST else column


_DEFAULTS: Mapping[str, object] = {each.name: each.default for each in fields(ListQuery)}
_FILTERS = tuple(name for name in _DEFAULTS if name not in {"sort", "page"})
_ALLOWED_VALUES = {
    "platform": frozenset(Platform),
    "band": frozenset(Band),
    "status": frozenset(LeadStatus),
    "source": frozenset(AnalysisSource),
}


def parse_list_query(query: MultiMapping[str]) -> ListQuery:
    """Parse a URL's query. Values that are not valid are ignored, since URLs are shared, cut and typed."""
    values = {name: query.get(name, "").strip()[:MAX_TEXT] for name in _FILTERS}
    for name, allowed in _ALLOWED_VALUES.items():
        values[name] = values[name] if values[name] in allowed else ""
    for name in ("since", "until"):
        values[name] = values[name] if utc_day(values[name]) else ""
    sort = query.get("sort", DEFAULT_SORT)
    known_sort = sort if sort.removeprefix("-") in SORTS else DEFAULT_SORT
    return ListQuery(**values, sort=known_sort, page=page_number(query))


def page_number(query: MultiMapping[str]) -> int:
    """Return the page number of a URL's query, 1 when it has none that is valid."""
    page = query.get("page", "1")
    return max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 8 else 1


@dataclass(frozen=True, slots=True)
class ListPage:
    """`first` and `last` are positions counted from 1, both 0 when nothing is found."""

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
    """Return all rows that match, in the order of the query."""
    words, column, descending = plain(list_query.q).split(), list_query.column, list_query.is_descending
    rows = (
        contact_index.search(words, column, descending=descending)
        if words
        else contact_index.ordered(column, descending=descending)
    )
    for row_filter in _row_filters(list_query):
        rows = row_filter(rows)
    return rows


def list_page(contact_index: ContactIndex, list_query: ListQuery) -> ListPage:
    """Return a page of the rows that match; a page beyond the last is the last."""
    found = find_rows(contact_index, list_query)
    pages = max(-(-len(found) // PAGE_SIZE), 1)
    number = min(list_query.page, pages)
    return ListPage(found[(number - 1) * PAGE_SIZE : number * PAGE_SIZE], len(found), len(contact_index), number, pages)


def _row_filters(list_query: ListQuery) -> Iterator[RowFilter]:
    """Yield a filter per condition, cheap ones first. Each is a loop: a call per row would cost more than the test."""
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
    yield from _time_filters(utc_day(list_query.since), utc_day(list_query.until))


def _time_filters(since: datetime | None, until: datetime | None) -> Iterator[RowFilter]:
    """Both days are included."""
    if since:
        yield lambda rows: [row for row in rows if row.last_message_at >= since]
    if until:
        end = until.replace(hour=23, minute=59, second=59, microsecond=999_999)
        yield lambda rows: [row for row in rows if row.last_message_at <= end]
