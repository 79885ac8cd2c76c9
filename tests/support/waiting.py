"""Waits for a condition, with a time limit far above the expected time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.005, 0.1
"""A read costs the servers processor time, so a long wait reads less often."""
Value = TypeVar("Value")


async def eventually(
    read: Callable[[], Awaitable[Value]], holds: Callable[[Value], object], timeout_seconds: float = 60
) -> Value:
    """Read until `holds` is true of the value and return it. AssertionError with the last value after the limit."""
    deadline, pause_seconds = time.monotonic() + timeout_seconds, MIN_PAUSE_SECONDS
    while True:
        value = await read()
        if holds(value):
            return value
        assert time.monotonic() < deadline, f"did not come true; last seen: {value!r}"
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, MAX_PAUSE_SECONDS)
