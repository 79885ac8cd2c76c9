"""The backlog is read seldom and taken from fairly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from services.analyzer.queue.backlog import Backlog
from shared.store.conversations import Conversations
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


def backlog_of(conversations: FakeConversations) -> Backlog:
    return Backlog(
        Conversations(cast(Database, SimpleNamespace(conversations=conversations))), cast(ServerClock, FakeClock())
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
