"""How far down a list of messages, newest first, is already known. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.backfill.crawl.values import Json, identity, read_time

MAX_IDS = 1_000
"""Per second. With more, no id is kept and all messages of that second are published again."""


@dataclass(frozen=True, slots=True)
class NewestSecond:
    """The second of the newest message that was read, and the ids of all messages read from that second.

    Graph gives times in whole seconds, so the time alone cannot tell what arrived later.
    """

    at: datetime
    ids: frozenset[str]


def newest_of(items: Sequence[Json], before: NewestSecond | None) -> NewestSecond | None:
    """Return the newest second of `before` and `items`, which were read after it. Items without a time are ignored."""
    for item in items:
        at, own_id = read_time(item.get("created_time")), identity(item.get("id"))
        if at is None or own_id is None:
            continue
        if before is None or at > before.at:
            before = NewestSecond(at, frozenset({own_id}))
        elif at == before.at:
            before = NewestSecond(at, before.ids | {own_id})
    return before if before is None or len(before.ids) <= MAX_IDS else NewestSecond(before.at, frozenset())


def unknown(items: Sequence[Json], known: NewestSecond | None) -> tuple[Sequence[Json], bool]:
    """Return the items of a page that are newer than `known`, and whether everything after the page is known."""
    if known is None:
        return items, False
    new: list[Json] = []
    for item in items:
        at = read_time(item.get("created_time"))
        if at is not None and at < known.at:
            return new, True
        if identity(item.get("id")) not in known.ids:
            new.append(item)
    return new, False
