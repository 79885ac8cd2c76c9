"""All contacts in memory, as far as lists are made of them: to search, filter, sort and count at once (ADR 11). Pure.

A row is what the newest version said; an older one, which a topic may bring again, changes nothing.
"""

from __future__ import annotations

import unicodedata
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.console.texts import BETWEEN, Texts
from shared.contacts import Contact
from shared.ids import ConversationKey

MENDED = 1000
"""With more changes than that, an order is made anew."""
NARROW = 30_000
"""Into so many texts it is quicker to look one by one than through all."""
FEW = 5000
"""So many are sorted more quickly than picked out of all in their order."""
NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """`text` is what is searched, `name_key` what names are ordered by: both without case and accents.

    `stage` is empty for none, `score` 0 and `status` and `source` empty before the first analysis.
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
    tags: tuple[str, ...]
    last_inbound_at: datetime
    last_message_at: datetime


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
    """Without case, accents and doubled spaces: what a person types finds what another wrote."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(text.casefold().replace(BETWEEN, " ").split())


def row_of(contact: Contact) -> Row:
    return row_of_document(contact.model_dump())


def row_of_document(stored: Mapping[str, Any]) -> Row:
    """As it lies in the database: no model is made of each, as there are very many at the start."""
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
        tags=tuple(stored.get("tags", ())),
        last_inbound_at=inbound,
        last_message_at=max(inbound, outbound),
    )


class Order:
    """Rows by a key. What changed since it was last asked for is taken out and put in again at its place."""

    def __init__(self, key: Callable[[Row], Any], descending: bool) -> None:
        self.changed: set[str] = set()
        self._descending = descending
        self._rows: list[Row] | None = None
        recent = 1 if descending else -1
        self._place = lambda row: (key(row), recent * row.last_message_at.timestamp())

    def of(self, rows: Mapping[str, Row]) -> list[Row]:
        if self._rows is None or len(self.changed) > MENDED:
            self._rows = sorted(rows.values(), key=self._place)
        elif self.changed:
            self._rows = [row for row in self._rows if row.contact_id not in self.changed]
            for row in filter(None, map(rows.get, self.changed)):
                insort(self._rows, row, key=self._place)
        self.changed.clear()
        return self._rows[::-1] if self._descending else self._rows[:]


class Directory:
    """`put` and `remove` are what changes it. An order by a column is made when it is first asked for, and mended when
    it is asked for again."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._gone: dict[str, int] = {}
        self._orders: dict[tuple[str, bool], Order] = {}
        self._texts = Texts(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, contact_id: str) -> Row | None:
        return self._rows.get(contact_id)

    def rows(self) -> Iterable[Row]:
        return self._rows.values()

    def put(self, row: Row) -> bool:
        """Whether that is news."""
        known = self._rows.get(row.contact_id)
        newest = known.version if known else self._gone.get(row.contact_id, 0)
        if row.version <= newest:
            return False
        self._gone.pop(row.contact_id, None)
        self._rows[row.contact_id] = row
        self._changed(row.contact_id)
        return True

    def remove(self, contact_id: str, version: int) -> bool:
        """Of a customer who was forgotten as of `version`."""
        known = self._rows.get(contact_id)
        if known is None or known.version > version:
            return False
        del self._rows[contact_id]
        self._gone[contact_id] = version
        self._changed(contact_id)
        return True

    def ordered(self, column: str, *, descending: bool) -> list[Row]:
        """By a column of SORTS; those that are equal by it by their last message, the newest first."""
        order = self._orders.setdefault((column, descending), Order(SORTS[column], descending))
        return order.of(self._rows)

    def with_words(self, words: Iterable[str], column: str, *, descending: bool) -> list[Row]:
        """Those that have all of `words` in their text, ordered as by `ordered`."""
        first, *others = sorted(words, key=len, reverse=True)
        ids = self._texts.with_word(first)
        for word in others:
            few = len(ids) <= NARROW
            ids = {each for each in ids if word in self._rows[each].text} if few else ids & self._texts.with_word(word)
        if len(ids) > FEW:
            return [row for row in self.ordered(column, descending=descending) if row.contact_id in ids]
        order = Order(SORTS[column], descending)
        return order.of({each: self._rows[each] for each in ids})

    def _changed(self, contact_id: str) -> None:
        self._texts.changed.add(contact_id)
        for order in self._orders.values():
            order.changed.add(contact_id)

    def tags(self) -> list[str]:
        return sorted({tag for row in self._rows.values() for tag in row.tags})

    def by_source(self) -> Counter[str]:
        return Counter(row.source for row in self._rows.values() if row.source)

    def by_account(self) -> Counter[str]:
        """Keys are those of accounts."""
        return Counter(f"{row.platform}:{row.account_id}" for row in self._rows.values())


def is_contact_id(text: str) -> bool:
    try:
        ConversationKey.parse(text)
    except ValueError:
        return False
    return True
