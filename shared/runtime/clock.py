"""The clock and time zones. Pure code takes `now` as an argument; code with I/O takes a `Clock`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time in UTC to the millisecond, the precision of events and MongoDB."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@cache
def known_time_zones() -> tuple[str, ...]:
    """Return the IANA names of places that this machine knows, as `Europe/Berlin`, sorted."""
    return tuple(sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/")))


def time_zone(name: str) -> ZoneInfo:
    """Return the time zone with an IANA name, as `Europe/Berlin`. ValueError when this machine knows none."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # an OSError for the folder `Europe` and for a name that is too long
        raise ValueError(f"{name!r} is not a time zone: give an IANA name as in Europe/Berlin") from None
