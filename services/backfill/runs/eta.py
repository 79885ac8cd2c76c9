"""How fast a run goes, and how long it will take yet."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

RATE_SECONDS, REACH_SECONDS = 10.0, 60.0
"""Messages come evenly enough for a short look back, conversations do not."""


@dataclass(frozen=True, slots=True)
class ProgressSample:
    at: float
    messages: int
    conversations: int


@dataclass(slots=True)
class RateEstimator:
    """Looks at what a run has come to from time to time; what it says holds for the last look."""

    monotonic: Callable[[], float] = time.monotonic
    _samples: deque[ProgressSample] = field(default_factory=deque)

    def sample(self, messages: int, conversations: int) -> None:
        now = self.monotonic()
        self._samples.append(ProgressSample(now, messages, conversations))
        while len(self._samples) > 2 and self._samples[1].at <= now - REACH_SECONDS:
            self._samples.popleft()

    @property
    def messages_per_second(self) -> float | None:
        """Over the last seconds; None in the first one."""
        since = self._before(RATE_SECONDS)
        return (self._samples[-1].messages - since.messages) / (self._samples[-1].at - since.at) if since else None

    def seconds_for(self, conversations: int) -> float | None:
        """What so many more will take at the pace of the last minute; None while that cannot be told."""
        since = self._before(REACH_SECONDS)
        done = self._samples[-1].conversations - since.conversations if since else 0
        return conversations * (self._samples[-1].at - since.at) / done if since and done > 0 else None

    def _before(self, seconds: float) -> ProgressSample | None:
        """The oldest look of so many seconds, if it is a second ago or more."""
        if not self._samples:
            return None
        now = self._samples[-1].at
        since = next(sample for sample in self._samples if sample.at >= now - seconds)
        return since if now - since.at >= 1 else None


def duration(seconds: float) -> str:
    """Rounded up: `45 s`, `12 min`, `3 h`."""
    if seconds <= 90:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds <= 90 * 60 else f"{math.ceil(seconds / 3600)} h"
