"""A limit on how many calls of one crawl are in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HIGH_PRESSURE = 0.75
"""The share of a budget from which the platform warns and the governor spaces calls."""


@dataclass(slots=True)
class ConcurrencyGate:
    """Admits at most `max_calls` at once, one while `pressure` is high, and none once it is closed.

    Slow answers change nothing: a load that the platform minds is in its usage headers, which are the pressure.
    """

    max_calls: int
    pressure: Callable[[], float]
    inside: int = 0
    is_closed: bool = False
    _left: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[None]:
        """Wait for admission. Behind a closed gate this waits until it is cancelled."""
        async with self._left:
            await self._left.wait_for(lambda: not self.is_closed and self.inside < self._limit())
            self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
            async with self._left:
                self._left.notify_all()

    def close(self) -> None:
        self.is_closed = True

    def _limit(self) -> int:
        return 1 if self.pressure() >= HIGH_PRESSURE else self.max_calls
