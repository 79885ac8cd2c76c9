"""The progress of a run: the crawl updates it, the executor saves it and the display shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.runs import ConversationFailure, RunCounters

FAILURES_KEPT = 100


@dataclass(slots=True)
class CrawlProgress:
    """`throttled_until` is in the past or `None` when no call waits."""

    counters: RunCounters = field(default_factory=RunCounters)
    failures: list[ConversationFailure] = field(default_factory=list)
    throttled_until: datetime | None = None
    listing_is_complete: bool = False

    def add(self, **by: int) -> None:
        changed = {name: getattr(self.counters, name) + number for name, number in by.items()}
        self.counters = self.counters.model_copy(update=changed)

    def fail(self, thread_id: str, reason: str) -> None:
        self.add(conversations_failed=1)
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(ConversationFailure(thread_id=thread_id, reason=reason))
