"""Values of the Graph API's bodies, which may be anything. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from shared.contract.events import format_instant

Json = dict[str, Any]

SETTLED_AFTER = timedelta(seconds=10)
"""Graph tells times by the second, and its clock and ours are not the same."""


def read_time(value: object) -> datetime | None:
    """Graph's `2021-07-23T09:50:48+0000`, in UTC; None for anything that is not a time with an offset."""
    return _read_time(value) if isinstance(value, str) else None


def instant_of(value: str, at: datetime) -> str:
    """How an event tells `at`, which was read from `value`: in Graph's own form that is the same but for its end."""
    is_usual = len(value) == 24 and value[5] != "W" and value[10] == "T" and value[13] == ":" and value[19:] == "+0000"
    return f"{value[:19]}.000Z" if is_usual else format_instant(at)


@lru_cache(1024)
def _read_time(value: str) -> datetime | None:
    """Remembered, as each is asked for more than once: of an event, of how far was read."""
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.astimezone(UTC) if parsed.tzinfo else None
    except (ValueError, OverflowError):
        return None


def is_settled(moved_at: datetime | None, now: datetime) -> bool:
    """Whether whatever moves from `now` on is told of by a later time than `moved_at`."""
    return moved_at is not None and now - moved_at >= SETTLED_AFTER


def objects(value: object) -> list[Json]:
    data = value.get("data") if isinstance(value, dict) else value
    return [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []


def identity(value: object) -> str | None:
    """Ids are strings, and numbers in old bodies."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if number else text(value)


def text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
