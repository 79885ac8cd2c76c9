"""Waiting for what must become true, with a limit far above what it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Value = TypeVar("Value")


async def eventually(
    read: Callable[[], Awaitable[Value]], holds: Callable[[Value], object], timeout_seconds: float = 60
) -> Value:
    """Reads until `holds` is true of what was read, and returns that; AssertionError with the last value else."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        value = await read()
        if holds(value):
            return value
        assert time.monotonic() < deadline, f"did not come true; last seen: {value!r}"
        await asyncio.sleep(0.05)
