"""All contacts in memory, reduced to what lists show, so that they are searched, sorted and counted at once (ADR 14).
Pure.

A row holds the newest version of a contact. An older version, which a topic may deliver again, changes nothing.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from services.console.index.word_index import WordIndex
from shared.contract.contacts import Contact, is_closed_by_fallback
from shared.contract.ids import ConversationKey

MAX_PENDING_CHANGES = 1000
"""With more changes than this since the last read, an order is sorted again from scratch."""
MAX_SORTED_MATCHES = 5000
"""Up to this many matches, sorting them is faster than picking them out of all rows in their order."""
OnChange: TypeAlias = "Callable[[str, int, Row | None], None]"
"""Called with a contact's id, its version and its row; the row is None when the contact was erased."""
NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What lists show of one contact.

    `text` is searched and `name_key` sorts names; both are without case and accents. `stage` is empty for no stage.
    Before the first analysis `score` is 0, and `status` and `source` are empty.
    """

    contact_id: str
    version: int
    platform: str
    account_id: str
    name: str
    name_key: str
    text: str
    score: int
    status: str
    source: str
    pipeline: str
    stage: str
    is_provisional: bool
    tags: tuple[str, ...]
    last_inbound_at: datetime
    last_message_at: datetime

    @property
    def account(self) -> str:
        return f"{self.platform}:{self.account_id}"


SORTS: Mapping[str, Callable[[Row], Any]] = {
    "name": lambda row: row.name_key,
    "platform": lambda row: row.platform,
    "account": lambda row: row.account_id,
    "score": lambda row: row.score,
    "status": lambda row: row.status,
    "stage": lambda row: row.stage,
    "inbound": lambda row: row.last_inbound_at,
    "source": lambda row: row.source,
}


def plain(text: str) -> str:
    """Return `text` without case, accents and repeated spaces, so that a search does not depend on them."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(text.casefold().split())


def row_of(contact: Contact) -> Row:
    return row_of_document(contact.model_dump())


def row_of_document(stored: Mapping[str, Any]) -> Row:
    """Make a row from a stored document. It skips the model, which would slow the start with many contacts."""
    name, analysis, stage = stored["name"], stored.get("analysis") or {}, stored.get("stage") or {}
    full = f"{name['first']} {name.get('last', '')}".strip()
    inbound, outbound = stored.get("last_inbound_at") or NEVER, stored.get("last_outbound_at") or NEVER
    said = (
        full, name.get("username") or "", *stored.get("emails", ()), *stored.get("phones", ()), *stored.get("tags", ()),
        analysis.get("summary", ""), stored["customer_id"],
    )  # fmt: skip
    return Row(
        contact_id=stored["contact_id"],
        version=stored["version"],
        platform=str(stored["platform"]),
        account_id=stored["account_id"],
        name=full,
        name_key=plain(full),
        text=plain("\n".join(said)),
        score=analysis.get("lead_score", 0),
        status=str(stored.get("lead_status") or analysis.get("lead_status", "")),
        source=str(analysis.get("source", "")),
        pipeline=stage.get("pipeline", ""),
        stage=stage.get("name", ""),
        is_provisional=is_closed_by_fallback(
            stage.get("type", ""),
            stage.get("set_by"),
            analysis.get("lead_status"),
            analysis.get("source"),
            stored.get("lead_status"),
            stored.get("edited", ()),
        ),
        tags=tuple(stored.get("tags", ())),
        last_inbound_at=inbound,
        last_message_at=max(inbound, outbound),
    )


class SortedRows:
    """Rows sorted by a key; rows with equal keys are sorted by their last message, newest first.

    Changes since the last read are applied at the next one: the old row is removed and the new one inserted.
    """

    def __init__(self, key: Callable[[Row], Any], *, descending: bool) -> None:
        self._is_descending = descending
        recent = 1 if descending else -1
        self._sort_key: Callable[[Row], Any] = lambda row: (key(row), recent * row.last_message_at.timestamp())
        self._rows: list[Row] | None = None
        self._before: dict[str, Row | None] = {}

    def note_change(self, contact_id: str, before: Row | None) -> None:
        if self._rows is not None:
            self._before.setdefault(contact_id, before)
        if len(self._before) > MAX_PENDING_CHANGES:
            self._rows = None
            self._before.clear()

    def read(self, rows: Mapping[str, Row]) -> list[Row]:
        if self._rows is None:
            self._rows = sorted(rows.values(), key=self._sort_key)
        self._apply_changes(self._rows, rows)
        return self._rows[::-1] if self._is_descending else self._rows[:]

    def _apply_changes(self, ordered: list[Row], rows: Mapping[str, Row]) -> None:
        for contact_id, before in self._before.items():
            if before:
                del ordered[ordered.index(before, bisect_left(ordered, self._sort_key(before), key=self._sort_key))]
            if after := rows.get(contact_id):
                insort(ordered, after, key=self._sort_key)
        self._before.clear()


class RowCounts:
    """Numbers of rows by account, score, source, stage and tag, updated with every change."""

    def __init__(self) -> None:
        self.accounts: Counter[str] = Counter()
        self.scores: Counter[int] = Counter()
        self.sources: Counter[str] = Counter()
        self.stages: Counter[tuple[str, str]] = Counter()
        self.tags: Counter[str] = Counter()

    def add(self, row: Row, by: int) -> None:
        self.accounts[row.account] += by
        self.scores[row.score] += by
        self.sources[row.source] += by
        self.stages[row.pipeline, row.stage] += by
        for tag in row.tags:
            self.tags[tag] += by


class ContactIndex:
    """`put` and `remove` change it, and each change calls `on_change`. The order by a column is sorted when it is first
    read, and updated with the changes since then when it is read again."""

    def __init__(self) -> None:
        self.on_change: OnChange | None = None
        self._rows: dict[str, Row] = {}
        self._erased_versions: dict[str, int] = {}
        self._orders: dict[tuple[str, bool], SortedRows] = {}
        self._words = WordIndex(self._rows)
        self._counts = RowCounts()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, contact_id: str) -> Row | None:
        return self._rows.get(contact_id)

    def rows(self) -> Iterable[Row]:
        return self._rows.values()

    def versions(self) -> dict[str, int]:
        return {row.contact_id: row.version for row in self._rows.values()}

    def put(self, row: Row) -> bool:
        """Store a row. Return False when this or a newer version is known, or the contact was erased since."""
        known = self._rows.get(row.contact_id)
        newest = known.version if known else self._erased_versions.get(row.contact_id, 0)
        if row.version <= newest:
            return False
        self._erased_versions.pop(row.contact_id, None)
        self._rows[row.contact_id] = row
        self._changed(row.contact_id, row.version, known, row)
        return True

    def remove(self, contact_id: str, version: int) -> bool:
        """Remove a contact that was erased as of `version`; earlier versions are ignored from then on."""
        known = self._rows.get(contact_id)
        if known and known.version > version:
            return False
        self._erased_versions[contact_id] = max(version, self._erased_versions.get(contact_id, 0))
        if known is None:
            return False
        del self._rows[contact_id]
        self._changed(contact_id, version, known, None)
        return True

    def ordered(self, column: str, *, descending: bool) -> list[Row]:
        """Return all rows sorted by a column of SORTS, equal ones by their last message, newest first."""
        order = self._orders.get((column, descending))
        if order is None:
            order = self._orders[column, descending] = SortedRows(SORTS[column], descending=descending)
        return order.read(self._rows)

    def search(self, words: Sequence[str], column: str, *, descending: bool) -> list[Row]:
        """Return the rows whose text contains all of `words`, sorted as by `ordered`."""
        longest, *others = sorted(words, key=len, reverse=True)
        ids = self._words.ids_containing(longest)
        if ids is None:
            return _containing_all(words, self.ordered(column, descending=descending))
        found = _containing_all(others, [self._rows[each] for each in ids])
        if len(found) <= MAX_SORTED_MATCHES:
            return SortedRows(SORTS[column], descending=descending).read({row.contact_id: row for row in found})
        chosen = set(found)
        return [row for row in self.ordered(column, descending=descending) if row in chosen]

    def tags(self) -> list[str]:
        return sorted(tag for tag, count in self._counts.tags.items() if count)

    def by_account(self) -> Counter[str]:
        """Return the number of contacts by account key."""
        return self._counts.accounts

    def by_score(self) -> Counter[int]:
        """Return the number of contacts by score; 0 is not analysed yet."""
        return self._counts.scores

    def by_source(self) -> Counter[str]:
        """Return the number of analysed contacts by source."""
        return Counter({source: count for source, count in self._counts.sources.items() if source})

    def by_stage(self) -> Counter[tuple[str, str]]:
        """Return the number of contacts by pipeline and stage, both empty for no stage."""
        return self._counts.stages

    def _changed(self, contact_id: str, version: int, before: Row | None, after: Row | None) -> None:
        self._words.update(contact_id, before.text if before else "", after.text if after else "")
        for order in self._orders.values():
            order.note_change(contact_id, before)
        if before:
            self._counts.add(before, -1)
        if after:
            self._counts.add(after, 1)
        if self.on_change:
            self.on_change(contact_id, version, after)


def _containing_all(words: Iterable[str], rows: list[Row]) -> list[Row]:
    for word in words:
        rows = [row for row in rows if word in row.text]
    return rows


def is_contact_id(text: str) -> bool:
    try:
        ConversationKey.parse(text)
    except ValueError:
        return False
    return True
