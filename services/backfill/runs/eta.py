"""The speed of a run and its remaining time."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

RATE_SECONDS, REACH_SECONDS = 10.0, 60.0
"""Messages arrive evenly enough for a short window, conversations do not."""


@dataclass(frozen=True, slots=True)
class ProgressSample:
    at: float
    messages: int
    conversations: int


@dataclass(slots=True)
class RateEstimator:
    """Estimates rates from samples of a run's progress; its answers are as of the last sample."""

    monotonic: Callable[[], float] = time.monotonic
    _samples: deque[ProgressSample] = field(default_factory=deque)

    def sample(self, messages: int, conversations: int) -> None:
        now = self.monotonic()
        self._samples.append(ProgressSample(now, messages, conversations))
        while len(self._samples) > 2 and self._samples[1].at <= now - REACH_SECONDS:
            self._samples.popleft()

    @property
    def messages_per_second(self) -> float | None:
        """The rate over the last seconds; `None` in the first second."""
        since = self._before(RATE_SECONDS)
        return (self._samples[-1].messages - since.messages) / (self._samples[-1].at - since.at) if since else None

    def seconds_for(self, conversations: int) -> float | None:
        """Return how long so many more take at the rate of the last minute; `None` while it is unknown."""
        since = self._before(REACH_SECONDS)
        done = self._samples[-1].conversations - since.conversations if since else 0
        return conversations * (self._samples[-1].at - since.at) / done if since and done > 0 else None

    def _before(self, seconds: float) -> ProgressSample | None:
        """Return the oldest sample of the last `seconds`, if it is at least a second old."""
        if not self._samples:
            return None
        now = self._samples[-1].at
        since = next(sample for sample in self._samples if sample.at >= now - seconds)
        return since if now - since.at >= 1 else None


def duration(seconds: float) -> str:
    """Format, rounded up: `45 s`, `12 min`, `3 h`."""
    if seconds <= 90:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds <= 90 * 60 else f"{math.ceil(seconds / 3600)} h"
