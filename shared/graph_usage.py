"""What the Graph API's headers say of the budget. Pure.

Source: https://developers.facebook.com/docs/graph-api/overview/rate-limiting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import orjson

BUSINESS_USE_CASE_USAGE = "X-Business-Use-Case-Usage"
RETRY_AFTER = "Retry-After"
LONGEST_SECONDS = 24 * 3600.0
"""The longest window of any budget: no wait need be longer, whatever a header says."""


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """How long the platform asks us to wait; None where it says nothing, which 0 means as well.

    The longest `estimated_time_to_regain_access` (minutes), else `Retry-After`, which is not documented but honoured.
    What is malformed says nothing. `headers` must find a name in any case, as aiohttp's do.
    """
    regain = max(_regain_minutes(headers.get(BUSINESS_USE_CASE_USAGE, "")), default=0.0) * 60
    after = headers.get(RETRY_AFTER, "")
    seconds = regain if regain > 0 else float(after) if after.isdecimal() else 0.0
    return min(seconds, LONGEST_SECONDS) if seconds > 0 else None


def _regain_minutes(header: str) -> Iterator[float]:
    try:
        usage = orjson.loads(header)
    except orjson.JSONDecodeError:
        return
    for entries in usage.values() if isinstance(usage, dict) else ():
        for entry in entries if isinstance(entries, list) else ():
            minutes = entry.get("estimated_time_to_regain_access") if isinstance(entry, dict) else None
            if isinstance(minutes, int | float):
                yield float(minutes)
