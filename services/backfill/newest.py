"""How far back a conversation need be read: to the newest message that was known. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.backfill.values import Json, identity, read_time

MOST_IDS = 1_000
"""Of one second. Beyond it none is kept, and all of that second are published again, which harms nobody."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The second of the newest message that was read, and the ids of all that were said in it.

    Graph tells times by the second, so the second alone cannot tell what came after.
    """

    at: datetime
    ids: frozenset[str]


def newest_of(items: Sequence[Json], before: Newest | None) -> Newest | None:
    """With `items` read behind `before`. What has no time is not looked at."""
    for item in items:
        at, own_id = read_time(item.get("created_time")), identity(item.get("id"))
        if at is None or own_id is None:
            continue
        if before is None or at > before.at:
            before = Newest(at, frozenset({own_id}))
        elif at == before.at:
            before = Newest(at, before.ids | {own_id})
    return before if before is None or len(before.ids) <= MOST_IDS else Newest(before.at, frozenset())


def unknown(items: Sequence[Json], known: Newest | None) -> tuple[Sequence[Json], bool]:
    """What of a page, newest first, is new behind `known`; and whether all that follows it is known."""
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
