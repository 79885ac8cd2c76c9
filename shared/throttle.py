"""One gate for all calls that spend one budget: shut while the platform throttles it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 60.0, 3600.0

Sleep = Callable[[float], Awaitable[None]]


class Throttle:
    """Calls made while throttled lengthen the block, so whoever is throttled shuts the gate for all.

    `on_wait` hears how many seconds it stays shut.
    """

    def __init__(self, on_wait: Callable[[float], None] = lambda _seconds: None, sleep: Sleep = asyncio.sleep) -> None:
        self._on_wait = on_wait
        self._sleep = sleep
        self._in_a_row = 0
        self._gate = asyncio.Event()
        self._gate.set()

    async def opened(self) -> None:
        """Returns when calls may be made."""
        await self._gate.wait()

    def succeeded(self) -> None:
        self._in_a_row = 0

    async def wait_out(self, retry_after_seconds: float | None) -> None:
        """Waits as the platform asks, else from a minute to an hour, doubling. Those refused at once wait once."""
        if not self._gate.is_set():
            return await self.opened()
        seconds = retry_after_seconds or min(FIRST_WAIT_SECONDS * 2.0**self._in_a_row, LONGEST_WAIT_SECONDS)
        self._in_a_row += 1
        self._gate.clear()
        try:
            self._on_wait(seconds)
            await self._sleep(seconds)
        finally:
            self._gate.set()
        return None
