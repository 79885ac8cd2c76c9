"""When the backlog reads all that is due."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from services.analyzer.queue import backlog
from services.analyzer.queue.backlog import MAX_KEYS_PER_ACCOUNT, MIN_FULL_READ_SECONDS, SECONDS_PER_KEY, Backlog
from shared.store.conversations import Conversations
from shared.store.indexes import EPOCH
from shared.store.server_clock import ClockReading, ServerClock

START = datetime(2026, 12, 1, tzinfo=UTC)
KEY = "messenger:371:1"


class FakeTime:
    """One clock for the process and the server."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    async def read(self) -> ClockReading:
        return ClockReading(START + timedelta(seconds=self.seconds), self.seconds)


class FakeConversations:
    """A conversation is due. Reads take `read_seconds`; `full_reads` counts those of all that is due."""

    def __init__(self, time: FakeTime, read_seconds: float, due: int = 1) -> None:
        self.time, self.read_seconds, self.full_reads = time, read_seconds, 0
        self._due = due

    async def due(self, since: datetime, _now: datetime) -> AsyncIterator[dict[str, Any]]:
        self.time.seconds += self.read_seconds
        if since == EPOCH:
            self.full_reads += 1
            for number in range(self._due):
                yield {"_id": f"{KEY}{number}"}


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    time = FakeTime()
    monkeypatch.setattr(backlog, "time", time)
    return time


async def reads_after(time: FakeTime, conversations: FakeConversations, seconds: float) -> int:
    """Return how often all that is due is read at once and again `seconds` later."""
    queue = Backlog(cast(Conversations, conversations), cast(ServerClock, time))
    await queue.refresh(1, ())
    queue.take(conversations.full_reads * 100_000)
    conversations.read_seconds = 0.0
    time.seconds += seconds
    await queue.refresh(1, ())
    return conversations.full_reads


@pytest.mark.parametrize("read_seconds", [0.0, 6.0])
async def test_a_read_that_waited_for_the_database_does_not_put_off_the_next(
    time: FakeTime, read_seconds: float
) -> None:
    conversations = FakeConversations(time, read_seconds)
    assert await reads_after(time, conversations, MIN_FULL_READ_SECONDS) == 2


@pytest.mark.parametrize(("share", "reads"), [(0.5, 1), (1.0, 2)])
async def test_the_more_is_due_the_less_often_all_is_read(time: FakeTime, share: float, reads: int) -> None:
    due = MAX_KEYS_PER_ACCOUNT
    conversations = FakeConversations(time, 0.2, due)
    assert await reads_after(time, conversations, share * due * SECONDS_PER_KEY) == reads
