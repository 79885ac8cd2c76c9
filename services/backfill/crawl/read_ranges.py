"""What of a list of messages, newest first, need not be published again. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.backfill.crawl.values import Json, identity, read_time

MOST_IDS = 1_000
"""Of one second. Beyond it none is kept, and all of that second are published again, which harms nobody."""


@dataclass(frozen=True, slots=True)
class Second:
    """The second of the newest (or oldest) message that was read, and the ids of all that were said in it.

    Graph tells times by the second, so the second alone cannot tell what came after.
    """

    at: datetime
    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Span:
    """What was read of a list, without a gap."""

    newest: Second
    oldest: Second

    def has(self, item: Json) -> bool:
        """False where that cannot be told."""
        at, own_id = read_time(item.get("created_time")), identity(item.get("id"))
        if at is None or not self.oldest.at <= at <= self.newest.at:
            return False
        ends = [end.ids for end in (self.newest, self.oldest) if end.at == at]
        return not ends or any(own_id in ids for ids in ends)


Spans = tuple[Span, ...]


def newest_of(items: Sequence[Json], before: Second | None) -> Second | None:
    """With `items` read behind `before`. What has no time is not looked at."""
    return _farthest(items, before, operator.gt)


def oldest_of(items: Sequence[Json], before: Second | None) -> Second | None:
    """The oldest is looked at first: of a page in its order each one were farther than those before."""
    return _farthest(reversed(items), before, operator.lt)


def _farthest(
    items: Iterable[Json], before: Second | None, is_farther: Callable[[datetime, datetime], bool]
) -> Second | None:
    for item in items:
        at, own_id = read_time(item.get("created_time")), identity(item.get("id"))
        if at is None or own_id is None:
            continue
        if before is None or is_farther(at, before.at):
            before = Second(at, frozenset({own_id}))
        elif at == before.at:
            before = Second(at, before.ids | {own_id})
    return before if before is None or len(before.ids) <= MOST_IDS else Second(before.at, frozenset())


def unknown(items: Sequence[Json], known: Second | None) -> tuple[Sequence[Json], bool]:
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


def unread(items: Sequence[Json], ahead: Spans) -> tuple[list[Json], Spans]:
    """What of a page of a list that was begun anew is in none of the spans read by then; and those not yet passed."""
    if not ahead:
        return list(items), ahead
    new: list[Json] = []
    for item in items:
        at = read_time(item.get("created_time"))
        ahead = tuple(span for span in ahead if at is None or at >= span.oldest.at)
        if not any(span.has(item) for span in ahead):
            new.append(item)
    return new, ahead
