"""How many calls go on at once: fewer when the platform slows or warns, more again little by little."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

WARNING = 0.75
"""From this share of a budget on the platform warns."""
SLOW_TIMES, SLOW_SECONDS = 4.0, 1.0
"""Slow is an answer that took so many times the usual, and more than a blink."""
FEWEST_SAMPLES, MOST_SAMPLES = 8, 64


@dataclass(slots=True)
class Parallelism:
    """Additive increase, multiplicative decrease, as TCP does it. Pure."""

    most: int
    allowed: float = field(init=False)
    _latencies: deque[float] = field(init=False, default_factory=lambda: deque(maxlen=MOST_SAMPLES))
    _deaf_for: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.allowed = self.most

    def heard(self, latency_seconds: float, pressure: float) -> None:
        """An answer. The answers to calls that had begun before a decrease say nothing new and change nothing."""
        is_bad = pressure >= WARNING or self._is_slow(latency_seconds)
        self._latencies.append(latency_seconds)
        if self._deaf_for > 0:
            self._deaf_for -= 1
        elif is_bad:
            self._deaf_for = math.floor(self.allowed)
            self.allowed = max(1.0, self.allowed / 2)
        else:
            self.allowed = min(float(self.most), self.allowed + 1 / self.allowed)

    def _is_slow(self, latency_seconds: float) -> bool:
        if latency_seconds <= SLOW_SECONDS or len(self._latencies) < FEWEST_SAMPLES:
            return False
        return latency_seconds > SLOW_TIMES * median(self._latencies)


@dataclass(slots=True)
class ConcurrencyGate:
    """Lets in as many at once as are allowed, and nobody once it is shut: they wait to be cancelled."""

    parallelism: Parallelism
    inside: int = 0
    is_shut: bool = False
    _left: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[None]:
        async with self._left:
            await self._left.wait_for(lambda: not self.is_shut and self.inside < math.floor(self.parallelism.allowed))
            self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
            async with self._left:
                self._left.notify_all()

    def shut(self) -> None:
        self.is_shut = True
