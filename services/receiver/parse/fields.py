"""Reads Facebook's values in all their forms: ids that are numbers, times in three units, nulls. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from shared.contract.events import format_instant
from shared.contract.failures import Reason, RejectedError
from shared.contract.ids import is_usable_id

MIN_MILLISECONDS = 100_000_000_000
"""A number below this is seconds (until the year 5138), above it milliseconds (since 1973)."""
MAX_NESTING, MAX_INTEGER = 100, 1 << 63
"""MongoDB takes 100 levels in all places, and integers of 64 bits."""
_EARLIEST = datetime(2004, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_MILLISECONDS = tuple(f".{number:03}Z" for number in range(1000))
_EARLIEST_MS, _LATEST_MS = (int(time.timestamp()) * 1000 for time in (_EARLIEST, _LATEST))


def read_id(value: object) -> str | None:
    """Return an id as text; old bodies have numbers. None when absent. RejectedError (`bad_id`) for anything else."""
    if isinstance(value, str) and is_usable_id(value):
        return value
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RejectedError(Reason.BAD_ID)


def read_text(value: object) -> str | None:
    """Return a text or None; a number becomes text. RejectedError (`malformed`) for anything else."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise RejectedError(Reason.MALFORMED, "a text was expected")


def read_object(value: object) -> dict[str, Any]:
    """Return an object, {} for null. RejectedError (`malformed`) for anything else."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise RejectedError(Reason.MALFORMED, "an object was expected")


def read_storable(value: dict[str, Any]) -> dict[str, Any]:
    """Return `value` as it is. RejectedError (`malformed`) when MongoDB could not hold it."""
    if not _is_storable(value, MAX_NESTING):
        raise RejectedError(Reason.MALFORMED, "it cannot be stored")
    return value


def _is_storable(value: object, levels: int) -> bool:
    """Return whether it has at most `levels` of nesting, no NUL in a key and no integer beyond 64 bits."""
    if isinstance(value, dict):
        return levels > 0 and all("\0" not in key and _is_storable(each, levels - 1) for key, each in value.items())
    if isinstance(value, list):
        return levels > 0 and all(_is_storable(each, levels - 1) for each in value)
    return not isinstance(value, int) or -MAX_INTEGER <= value < MAX_INTEGER


def read_list(value: object) -> list[Any]:
    """Return a list, [] for null. RejectedError (`malformed`) for anything else."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise RejectedError(Reason.MALFORMED, "a list was expected")


def read_instant(value: object) -> str | None:
    """Return a time as RFC 3339 in UTC with milliseconds; None when absent.

    The value is in seconds or milliseconds (distinguished by magnitude), either of them as text, or ISO 8601.
    RejectedError (`bad_time`) for anything else and for times outside of 2004 to 2100.
    """
    if type(value) is int and _EARLIEST_MS <= value < _LATEST_MS:
        return _second(value // 1000) + _MILLISECONDS[value % 1000]
    return None if value is None else format_instant(_read_time(value))


@lru_cache(1024)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _read_time(value: object) -> datetime:
    try:
        time = _parse_time(value)
    except (ValueError, OverflowError, OSError):
        raise RejectedError(Reason.BAD_TIME) from None
    if not _EARLIEST <= time < _LATEST:
        raise RejectedError(Reason.BAD_TIME, "out of range")
    return time


def _parse_time(value: object) -> datetime:
    if isinstance(value, str) and not value.isdecimal():
        time = datetime.fromisoformat(value)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a time")
    number = int(value)
    milliseconds = number * 1000 if number < MIN_MILLISECONDS else number
    whole_seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(whole_seconds, UTC).replace(microsecond=rest * 1000)
