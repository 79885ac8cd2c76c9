"""What goes wrong on demand, and what is refused for being too much."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

Effect = Literal["error", "html", "truncate", "reset", "error_in_200", "delay"]


class Rule(BaseModel):
    """A fault for calls whose path has `path` in it (and query `query`), after `skip` of them, `times` times."""

    model_config = ConfigDict(extra="forbid")
    path: str = ""
    query: str = ""
    effect: Effect = "error"
    error: str = "transient"
    skip: int = 0
    times: int = 1
    delay_ms: int = 0


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` calls a second on the average, `burst` at once."""

    rate: float
    burst: float
    tokens: float
    at: float

    def take(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class Limits:
    """Two calls a second per Instagram account, as developers.facebook.com/docs/graph-api/overview/rate-limiting says.

    A burst of three leaves room for the jitter of a client that spaces its calls by half a second.
    """

    instagram_per_second: float = 2
    monotonic: Callable[[], float] = time.monotonic
    buckets: dict[str, Bucket] = field(default_factory=dict)

    def allows(self, account_id: str) -> bool:
        if self.instagram_per_second <= 0:
            return True
        now = self.monotonic()
        bucket = self.buckets.setdefault(account_id, Bucket(self.instagram_per_second, 3, 3, now))
        return bucket.take(now)


@dataclass(slots=True)
class Faults:
    """The rules in force and what was called."""

    rules: list[Rule] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    latency_ms: int = 0
    revoked: bool = False

    def next_for(self, path: str, query: str) -> Rule | None:
        """The first rule that is due for this call; counts it down."""
        for rule in self.rules:
            if rule.path in path and rule.query in query and rule.times > 0:
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                rule.times -= 1
                return rule
        return None
