"""Rate limits, and the headers that report their usage.

Source: developers.facebook.com/docs/graph-api/overview/rate-limiting. All numbers in the headers are percentages,
except `estimated_time_to_regain_access`, which is in minutes. A call made while throttled lengthens the block.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from services.simulator.corpus import SimulatedAccount
from services.simulator.errors import refused
from shared.contract.ids import Platform

BURST_CALLS = 3.0
"""Calls at once that a limit per second allows: room for the jitter of a client that spaces its calls."""

APP = "app"


@dataclass(slots=True)
class TokenBucket:
    """Allows `rate` calls a second, and `BURST_CALLS` at once."""

    at: float
    tokens: float = BURST_CALLS

    def take(self, now: float, rate: float) -> bool:
        self.tokens = min(BURST_CALLS, self.tokens + (now - self.at) * rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class Block:
    until: float
    seconds: float


@dataclass(slots=True)
class RateLimits:
    """Limits for each account: `instagram_per_second` calls, and `budget_calls` within `budget_seconds`.

    `app_budget_calls` limits the calls of all accounts within that window. 0 is no limit.
    """

    instagram_per_second: float = 2
    budget_calls: int = 0
    app_budget_calls: int = 0
    budget_seconds: float = 3_600
    monotonic: Callable[[], float] = time.monotonic
    throttled: int = 0  # calls that were refused for a limit
    while_throttled: int = 0  # calls made before the block that such an answer announced was over
    crowded: int = 0  # Instagram calls that were the third or more within a second
    _arrivals: defaultdict[str, deque[float]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=2)))
    _buckets: dict[str, TokenBucket] = field(default_factory=dict)
    _made: defaultdict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _blocks: dict[str, Block] = field(default_factory=dict)

    def arrive(self, account: SimulatedAccount) -> None:
        """Count a call at its arrival. One made while throttled makes the block start again."""
        now = self.monotonic()
        if account.platform is Platform.INSTAGRAM:
            arrivals = self._arrivals[account.id]
            self.crowded += len(arrivals) == 2 and now - arrivals[0] < 1
            arrivals.append(now)
        blocks = [block for key in (APP, account.id) if (block := self._blocks.get(key)) and block.until > now]
        self.while_throttled += bool(blocks)
        for block in blocks:
            block.until = max(block.until, now + block.seconds)

    def admit(self, account: SimulatedAccount) -> None:
        """Raise RefusedError when a limit of the account or the app is used up."""
        is_instagram = account.platform is Platform.INSTAGRAM
        self._spend(account, APP, self.app_budget_calls, "rate_app")
        self._spend(account, account.id, self.budget_calls, "rate_instagram" if is_instagram else "rate_messenger")
        now = self.monotonic()
        rate = self.instagram_per_second
        if is_instagram and rate > 0:
            bucket = self._buckets.setdefault(account.id, TokenBucket(now))
            if not bucket.take(now, rate):
                self.block(account, (1 - bucket.tokens) / rate)
                raise refused("rate_instagram")

    def block(self, account: SimulatedAccount, seconds: float, *, is_of_app: bool = False) -> None:
        """Block the account, or the whole app, for `seconds` from now: further calls count as made while throttled."""
        self.throttled += 1
        self._blocks[APP if is_of_app else account.id] = Block(self.monotonic() + seconds, seconds)

    @property
    def stats(self) -> dict[str, int]:
        return {"throttled": self.throttled, "while_throttled": self.while_throttled, "crowded": self.crowded}

    def headers(self, account: SimulatedAccount) -> dict[str, str]:
        """Return the usage headers. As on the real service, Instagram's usage is reported under two ids.

        Unlike the real service, less than a minute is a fraction, so that a test need not wait for a whole one.
        """
        left = self._left_seconds(account.id)
        minutes = math.ceil(left / 60) if left >= 60 else math.ceil(left / 60 * 1000) / 1000
        usage = self._usage(account.id, self.budget_calls)
        entry = {"type": str(account.platform), **usage, "estimated_time_to_regain_access": minutes}
        return {
            "x-app-usage": json.dumps(self._usage(APP, self.app_budget_calls), separators=(",", ":")),
            "x-business-use-case-usage": json.dumps(
                {account.page_id: [entry], account.id: [entry]}, separators=(",", ":")
            ),
        }

    def _usage(self, key: str, budget_calls: int) -> dict[str, int]:
        used = 100 * len(self._in_window(key, self.monotonic())) // budget_calls if budget_calls else 1
        return {"call_count": 100 if self._left_seconds(key) else min(99, used), "total_cputime": 1, "total_time": 1}

    def _left_seconds(self, key: str) -> float:
        block = self._blocks.get(key)
        return max(0.0, block.until - self.monotonic()) if block else 0.0

    def _spend(self, account: SimulatedAccount, key: str, budget_calls: int, error: str) -> None:
        now = self.monotonic()
        made = self._in_window(key, now)
        if budget_calls > 0:
            made.append(now)
        if len(made) > budget_calls > 0:
            self.block(account, made[-budget_calls] + self.budget_seconds - now, is_of_app=key == APP)
            raise refused(error)

    def _in_window(self, key: str, now: float) -> deque[float]:
        made = self._made[key]
        while made and made[0] <= now - self.budget_seconds:
            made.popleft()
        return made
