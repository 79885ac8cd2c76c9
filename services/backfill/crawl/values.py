"""Reads values of the Graph API's bodies, which may be anything. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from shared.contract.events import format_instant

Json = dict[str, Any]

SETTLED_AFTER = timedelta(seconds=10)
"""Graph gives times in whole seconds, and its clock and ours differ."""


def read_time(value: object) -> datetime | None:
    """Parse Graph's `2021-07-23T09:50:48+0000` to UTC; `None` for anything but a time with an offset."""
    return _read_time(value) if isinstance(value, str) else None


def instant_of(value: str, at: datetime) -> str:
    """Format `at`, which was parsed from `value`, for an event. Graph's own format differs only in its end."""
    is_usual = len(value) == 24 and value[5] != "W" and value[10] == "T" and value[13] == ":" and value[19:] == "+0000"
    return f"{value[:19]}.000Z" if is_usual else format_instant(at)


@lru_cache(1024)
def _read_time(value: str) -> datetime | None:
    """Cached, because each time is parsed more than once."""
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.astimezone(UTC) if parsed.tzinfo else None
    except (ValueError, OverflowError):
        return None


def is_settled(moved_at: datetime | None, now: datetime) -> bool:
    """Whether any move from `now` on gets a later time than `moved_at`."""
    return moved_at is not None and now - moved_at >= SETTLED_AFTER


def objects(value: object) -> list[Json]:
    data = value.get("data") if isinstance(value, dict) else value
    return [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []


def identity(value: object) -> str | None:
    """Return an id, which is a string, and a number in old bodies."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if number else text(value)


def text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
