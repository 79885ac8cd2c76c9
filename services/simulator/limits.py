"""Budgets, and the headers that tell how much of them is used.

Source: developers.facebook.com/docs/graph-api/overview/rate-limiting. All numbers in the headers are percentages but
`estimated_time_to_regain_access`, which is minutes. A call made while throttled counts and lengthens the block.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from services.simulator.corpus import Account
from services.simulator.errors import refused
from shared.ids import Platform

BURST = 3.0
"""Calls at once that a limit per second lets pass: room for the jitter of a client that spaces its calls."""


@dataclass(slots=True)
class Bucket:
    """Refilled by `rate` calls a second, up to `BURST`."""

    at: float
    tokens: float = BURST

    def take(self, now: float, rate: float) -> bool:
        self.tokens = min(BURST, self.tokens + (now - self.at) * rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class Limits:
    """Per account: two calls a second on Instagram, and so many in a rolling window on both. Zero is no limit."""

    instagram_per_second: float = 2
    budget_calls: int = 0
    budget_seconds: float = 3_600
    monotonic: Callable[[], float] = time.monotonic
    throttled: int = 0  # answers that said so
    while_throttled: int = 0  # calls that came before the time that such an answer gave
    _buckets: dict[str, Bucket] = field(default_factory=dict)
    _made: defaultdict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _blocked_until: dict[str, float] = field(default_factory=dict)

    def arrive(self, account: Account) -> None:
        """Counts a call that should have waited."""
        self.while_throttled += self._left_seconds(account) > 0

    def admit(self, account: Account) -> None:
        """RefusedError when the account has no call left."""
        now = self.monotonic()
        self._spend_budget(account, now)
        rate = self.instagram_per_second
        if account.platform is Platform.INSTAGRAM and rate > 0:
            bucket = self._buckets.setdefault(account.id, Bucket(now))
            if not bucket.take(now, rate):
                self.block(account, (1 - bucket.tokens) / rate)
                raise refused("rate_instagram")

    def block(self, account: Account, seconds: float) -> None:
        """From now on: until then, calls for the account are counted as made while throttled."""
        self.throttled += 1
        self._blocked_until[account.id] = self.monotonic() + seconds

    def headers(self, account: Account) -> dict[str, str]:
        """As seen on the real service: Instagram's usage is told under two ids.

        Less than a minute is told as a fraction, which the real one does not: a test need not wait so long.
        """
        left = self._left_seconds(account)
        used = 100 if left else self._used_percent(account)
        usage = {"call_count": used, "total_cputime": 1, "total_time": 1}
        minutes = math.ceil(left / 60) if left >= 60 else math.ceil(left / 60 * 1000) / 1000
        entry = {"type": str(account.platform), **usage, "estimated_time_to_regain_access": minutes}
        return {
            "x-app-usage": json.dumps(usage, separators=(",", ":")),
            "x-business-use-case-usage": json.dumps(
                {account.page_id: [entry], account.id: [entry]}, separators=(",", ":")
            ),
        }

    def _left_seconds(self, account: Account) -> float:
        return max(0.0, self._blocked_until.get(account.id, 0) - self.monotonic())

    def _spend_budget(self, account: Account, now: float) -> None:
        made = self._made[account.id]
        while made and made[0] <= now - self.budget_seconds:
            made.popleft()
        if self.budget_calls > 0:
            made.append(now)
        if len(made) > self.budget_calls > 0:
            self.block(account, made[-self.budget_calls] + self.budget_seconds - now)
            raise refused("rate_instagram" if account.platform is Platform.INSTAGRAM else "rate_messenger")

    def _used_percent(self, account: Account) -> int:
        return min(99, 100 * len(self._made[account.id]) // self.budget_calls) if self.budget_calls else 1
