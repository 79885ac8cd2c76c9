"""The backlog is read seldom and taken from fairly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.analyzer.queue import backlog as backlog_module
from services.analyzer.queue.backlog import MAX_KEYS_PER_ACCOUNT, MIN_FULL_READ_SECONDS, SECONDS_PER_KEY, Backlog
from shared.store.conversations import Conversations
from shared.store.indexes import EPOCH
from shared.store.mongo import Database
from shared.store.server_clock import ClockReading, ServerClock

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


class FakeConversations:
    """All of `due` are found by each look."""

    def __init__(self, *due: str) -> None:
        self.due = due
        self.looks = 0

    def find(self, *_query: Any, **_options: Any) -> FakeConversations:
        self.looks += 1
        return self

    def sort(self, *_key: Any) -> AsyncIterator[dict[str, Any]]:
        return self._found()

    async def _found(self) -> AsyncIterator[dict[str, Any]]:
        for key in self.due:
            yield {"_id": key}


class FakeClock:
    async def read(self) -> ClockReading:
        return ClockReading(NOON, float("inf"))  # what was looked for is never long ago


def backlog_of(conversations: FakeConversations, clock: object | None = None) -> Backlog:
    return Backlog(
        Conversations(cast(Database, SimpleNamespace(conversations=conversations))),
        cast(ServerClock, clock or FakeClock()),
    )


async def test_an_added_conversation_is_taken_without_a_read() -> None:
    conversations = FakeConversations("messenger:371:1")
    backlog = backlog_of(conversations)
    await backlog.refresh(25, ())
    assert backlog.take(25) == ["messenger:371:1"]
    backlog.add(["messenger:371:2"])
    await backlog.refresh(25, ())
    assert backlog.take(25) == ["messenger:371:2"]
    assert conversations.looks == 1


async def test_an_empty_backlog_is_read() -> None:
    conversations = FakeConversations("messenger:371:1")
    backlog = backlog_of(conversations)
    for _ in range(2):
        await backlog.refresh(25, ())
        assert backlog.take(25) == ["messenger:371:1"]
    assert conversations.looks == 2


async def test_what_did_not_fit_is_read_before_a_short_claim() -> None:
    conversations = FakeConversations(*(f"messenger:371:{number}" for number in range(2_001)))
    backlog = backlog_of(conversations)
    await backlog.refresh(25, ())
    assert len(backlog.take(1_990)) == 1_990
    await backlog.refresh(25, ())
    assert conversations.looks == 2


class PassingTime:
    """The clock of the process and of the server, which only a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    async def read(self) -> ClockReading:
        return ClockReading(NOON + timedelta(seconds=self.seconds), self.seconds)


class SlowConversations(FakeConversations):
    """A read takes `read_seconds`; `full_reads` counts those of all that is due."""

    def __init__(self, time: PassingTime, read_seconds: float, *due: str) -> None:
        super().__init__(*due)
        self.time, self.read_seconds, self.full_reads = time, read_seconds, 0

    def find(self, *query: Any, **options: Any) -> FakeConversations:
        self.time.seconds += self.read_seconds
        self.full_reads += query[0]["due_at"]["$gte"] == EPOCH
        return super().find(*query, **options)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> PassingTime:
    time = PassingTime()
    monkeypatch.setattr(backlog_module, "time", time)
    return time


async def full_reads_after(time: PassingTime, conversations: SlowConversations, seconds: float) -> int:
    """Return how often all that is due is read at once and again `seconds` later."""
    backlog = backlog_of(conversations, time)
    await backlog.refresh(1, ())
    backlog.take(len(conversations.due))
    conversations.read_seconds = 0.0
    time.seconds += seconds
    await backlog.refresh(1, ())
    return conversations.full_reads


@pytest.mark.parametrize("read_seconds", [0.0, 6.0])
async def test_a_read_that_waited_for_the_database_does_not_put_off_the_next(
    time: PassingTime, read_seconds: float
) -> None:
    conversations = SlowConversations(time, read_seconds, "messenger:371:1")
    assert await full_reads_after(time, conversations, MIN_FULL_READ_SECONDS) == 2


@pytest.mark.parametrize(("share", "reads"), [(0.5, 1), (1.0, 2)])
async def test_the_more_is_due_the_less_often_all_is_read(time: PassingTime, share: float, reads: int) -> None:
    due = [f"messenger:371:{number}" for number in range(MAX_KEYS_PER_ACCOUNT)]
    conversations = SlowConversations(time, 0.2, *due)
    assert await full_reads_after(time, conversations, share * len(due) * SECONDS_PER_KEY) == reads
