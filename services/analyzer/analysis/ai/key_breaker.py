"""The rate limiter and circuit breaker of one key at one model. Pure; times are seconds of one monotonic clock.

- Closed: calls pass within the limit a minute.
- Open: no call passes until the cool-down ends.
- Half-open, after the cool-down: one probe passes. Success closes the breaker, failure opens it for twice as long.

A breaker never waits: it returns the seconds to wait, and `key_selector.py` takes another key or gives up. Each process
has its own breakers and learns from the server's 429 what other processes have used.
"""

from __future__ import annotations

from collections import deque
from math import inf

from services.analyzer.analysis.ai.transport import FailureKind

MINUTE_SECONDS = 60.0
MAX_FAILURES_IN_A_ROW = 3
"""This many FAILED calls open the breaker; any other kind of failure opens it at once."""
COOL_DOWN_SECONDS = {
    FailureKind.FAILED: 5.0,
    FailureKind.EXHAUSTED: 60.0,
    FailureKind.NO_SUCH_MODEL: 3600.0,
    FailureKind.KEY_REFUSED: 3600.0,
}
"""The first cool-down where the server asks for none. People withdraw models and refuse keys, and may restore them."""
MAX_COOL_DOWN_SECONDS = 300.0
"""Doubling stops here: a call every five minutes costs nothing and soon shows that the AI is back."""
MAX_HINT_SECONDS = 86_400.0


class KeyBreaker:
    def __init__(self, calls_a_minute: int) -> None:
        self._calls = deque[float](maxlen=calls_a_minute)
        self._failures = 0
        self._cool_down_seconds = 0.0
        self._cools_down_until = -inf
        self._probing = False

    @property
    def last_call_at(self) -> float:
        return self._calls[-1] if self._calls else -inf

    def seconds_until_free(self, now: float) -> float:
        """Return the seconds until a call may start: 0 for now, infinite while another call probes."""
        if self._cool_down_seconds and self._probing:
            return inf
        is_full = len(self._calls) == self._calls.maxlen
        return max(self._cools_down_until - now, self._calls[0] + MINUTE_SECONDS - now if is_full else 0.0, 0.0)

    def start_call(self, now: float) -> None:
        """Count a call; one of `record_success`, `record_failure` and `record_abandoned` must follow."""
        self._calls.append(now)
        self._probing = self._cool_down_seconds > 0

    def record_success(self, now: float) -> None:
        """Close the breaker. A success of a call started before the cool-down does not end the cool-down."""
        if now >= self._cools_down_until:
            self._failures, self._cool_down_seconds, self._probing = 0, 0.0, False

    def record_abandoned(self) -> None:
        """End a call whose outcome is unknown because we cancelled it."""
        self._probing = False

    def record_failure(self, now: float, kind: FailureKind, retry_after_seconds: float | None = None) -> None:
        """Open the breaker where `kind` asks for it; `retry_after_seconds` of the server goes before our own times."""
        hint = min(retry_after_seconds, MAX_HINT_SECONDS) if retry_after_seconds else None
        if now < self._cools_down_until:  # a call started before the cool-down: only a longer hint matters
            self._cools_down_until = max(self._cools_down_until, now + (hint or 0))
            return
        self._failures += 1
        if self._probing or hint or kind is not FailureKind.FAILED or self._failures >= MAX_FAILURES_IN_A_ROW:
            doubled = min(2 * self._cool_down_seconds, MAX_COOL_DOWN_SECONDS)
            self._cool_down_seconds = max(hint or COOL_DOWN_SECONDS[kind], doubled)
            self._cools_down_until = now + self._cool_down_seconds
        self._probing = False
