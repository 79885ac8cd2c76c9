"""Reading the Graph API's headers of rate budgets. Pure.

Source: https://developers.facebook.com/docs/graph-api/overview/rate-limiting. Every number is a percentage except
`estimated_time_to_regain_access`, which is in minutes. Malformed values are ignored, and a missing value is not 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

APP_USAGE = "X-App-Usage"
PAGE_USAGE = "X-Page-Usage"
"""The header of Page tokens before business use cases; no longer documented."""
BUSINESS_USE_CASE_USAGE = "X-Business-Use-Case-Usage"
RETRY_AFTER = "Retry-After"
REGAIN_MINUTES = "estimated_time_to_regain_access"
SHARES = ("call_count", "total_cputime", "total_time")
MAX_WAIT_SECONDS = 24 * 3600.0
"""The longest window of any budget: no wait needs to be longer."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The used shares of the app's and the account's budget (1.0 is all), and the seconds until access is regained.

    None means that the answer does not say.
    """

    app: float | None = None
    account: float | None = None
    regain_seconds: float | None = None


def read_usage(headers: Mapping[str, str]) -> Usage:
    """Return the highest usage in an answer's headers, which must be case-insensitive, as aiohttp's are."""
    business = list(_business(headers))
    account = max(
        (share for each in (_parsed(headers, PAGE_USAGE), *business) for share in _shares(each)), default=None
    )
    app = max(_shares(_parsed(headers, APP_USAGE)), default=None)
    return Usage(app, account, _regain_seconds(business))


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return how long the platform asks to wait; None for nothing or 0.

    It is the longest time to regain access, else `Retry-After`, which is not documented.
    """
    regain = _regain_seconds(_business(headers))
    after = headers.get(RETRY_AFTER, "")
    seconds = float(after) if regain is None and after.isascii() and after.isdecimal() else 0.0
    return regain or (min(seconds, MAX_WAIT_SECONDS) if seconds > 0 else None)


def _business(headers: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the entries of every id: those of an Instagram account are under its own id and its Page's."""
    usage = _parsed(headers, BUSINESS_USE_CASE_USAGE)
    for entries in usage.values() if isinstance(usage, dict) else ():
        yield from (entry for entry in (entries if isinstance(entries, list) else ()) if isinstance(entry, dict))


def _regain_seconds(entries: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> float | None:
    longest = max((_number(entry.get(REGAIN_MINUTES)) or 0.0 for entry in entries), default=0.0)
    return min(longest * 60, MAX_WAIT_SECONDS) if longest > 0 else None


def _shares(entry: object) -> Iterator[float]:
    if not isinstance(entry, dict):
        return
    for name in SHARES:
        percent = _number(entry.get(name))
        if percent is not None and percent >= 0:
            yield percent / 100


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _parsed(headers: Mapping[str, str], name: str) -> object:
    try:
        return orjson.loads(headers.get(name, ""))
    except orjson.JSONDecodeError:
        return None
