"""Whether one key may be asked for one model now: a limiter and a circuit breaker. Pure; times are one clock's seconds.

Closed, it lets through what the limit allows. Open, nothing, for a timed rest. After the rest it lets one call through
to see whether the other side is back: an answer closes it, a failure opens it for twice as long.

It says when, and waits for nothing: with that the schedule takes another key, or lets the fallback have its turn. Each
process has its own; of what another one uses up, the server's 429 tells.
"""

from __future__ import annotations

from collections import deque
from math import inf

from services.analyzer.analysis.gemini.calls import FailureKind

MINUTE = 60.0
FAILURES_IN_A_ROW = 3
"""So many failures of server or network open the breaker; every other fault opens it at once."""
REST_SECONDS = {
    FailureKind.FAILED: 5.0,
    FailureKind.EXHAUSTED: 60.0,
    FailureKind.NO_SUCH_MODEL: 3600.0,
    FailureKind.KEY_REFUSED: 3600.0,
}
"""How long the first rest is where the server does not say. Models are withdrawn and keys refused by people, who may
bring them back."""
MAX_DOUBLED_SECONDS = 300.0
"""No rest is doubled beyond this: a call in five minutes costs nothing, and soon tells that the AI is back."""
MAX_HINT_SECONDS = 86_400.0


class KeyBreaker:
    def __init__(self, calls_a_minute: int) -> None:
        self._calls = deque[float](maxlen=calls_a_minute)
        self._failures = 0
        self._rest_seconds = 0.0
        self._rests_until = -inf
        self._probing = False

    @property
    def used_at(self) -> float:
        """When it was last asked."""
        return self._calls[-1] if self._calls else -inf

    def opens_in(self, now: float) -> float:
        """Seconds until it may be asked, 0 for now. Infinite while another call sees whether it is back."""
        if self._rest_seconds and self._probing:
            return inf
        is_full = len(self._calls) == self._calls.maxlen
        return max(self._rests_until - now, self._calls[0] + MINUTE - now if is_full else 0.0, 0.0)

    def enter(self, now: float) -> None:
        """A call begins. One of `answered`, `failed` and `left` follows."""
        self._calls.append(now)
        self._probing = self._rest_seconds > 0

    def answered(self, now: float) -> None:
        """That a call answered which began before the rest does not end the rest."""
        if now >= self._rests_until:
            self._failures, self._rest_seconds, self._probing = 0, 0.0, False

    def left(self) -> None:
        """The call was given up by us, and told nothing."""
        self._probing = False

    def failed(self, now: float, fault: FailureKind, retry_after_seconds: float | None = None) -> None:
        """`retry_after_seconds` is what the server asked for, and is obeyed as it is."""
        hint = min(retry_after_seconds, MAX_HINT_SECONDS) if retry_after_seconds else None
        if now < self._rests_until:  # a call that began before the rest; only a hint is news
            self._rests_until = max(self._rests_until, now + (hint or 0))
            return
        self._failures += 1
        if self._probing or hint or fault is not FailureKind.FAILED or self._failures >= FAILURES_IN_A_ROW:
            doubled = min(2 * self._rest_seconds, MAX_DOUBLED_SECONDS)
            self._rest_seconds = max(hint or REST_SECONDS[fault], doubled)
            self._rests_until = now + self._rest_seconds
        self._probing = False
