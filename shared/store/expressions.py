"""Expressions of MongoDB's aggregation language. Pure."""

from __future__ import annotations

from typing import Any


def later(start: Any, milliseconds: Any) -> dict[str, Any]:
    """Return the time `milliseconds` after `start`, by `$dateAdd`: not every server adds numbers to times."""
    return {"$dateAdd": {"startDate": start, "unit": "millisecond", "amount": milliseconds}}
