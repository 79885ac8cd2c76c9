"""A small world behind a small Graph API, and a crawl of it with its stores in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from services.backfill.crawl import Crawl
from services.backfill.normalise import Reading
from services.backfill.runs import ActiveRunError, History, RunStore
from shared.accounts import Account
from shared.clock import utc_now
from shared.events import ConversationCompletedEvent, Event, MessageEvent
from shared.graph import GraphClient
from shared.ids import ConversationKey, Platform
from shared.runs import Run, RunState
from tests.unit.backfill.fake_graph import Answer, ok, serving

PAGE = Account(platform=Platform.MESSENGER, account_id="371", page_id="371", name="The [Page]", encrypted_token="x")
BEGUN = Run(
    run_id="run1", platform=PAGE.platform, account_id="371", state=RunState.RUNNING, created_at=utc_now(),
    started_at=utc_now(),
)  # fmt: skip


class MemoryRuns(RunStore):
    """Runs and checkpoints in memory."""

    def __init__(self) -> None:
        self.begins = BEGUN
        self.saved: list[Run] = []
        self.histories: dict[str, History] = {}
        self.counts: dict[str, tuple[int, int]] = {}
        self.is_taken = False

    async def begin(self, account: Account) -> Run:
        if self.is_taken:
            raise ActiveRunError("run 0 is backfilling it")
        return self.begins

    async def save(self, run: Run) -> None:
        if self.is_taken:
            raise ActiveRunError("taken over")
        self.saved.append(run)

    async def history(self, key: ConversationKey) -> History | None:
        return self.histories.get(str(key))

    async def remember(self, reading: Reading, read: int, unavailable: int) -> None:
        self.histories[str(reading.key)] = History(reading.run_id, reading.listed.updated_time)
        self.counts[reading.listed.thread_id] = (read, unavailable)


@dataclass
class World:
    """Conversations `t_0` … of `messages` messages each, listed by two, read by two; a test may change any answer."""

    conversations: int = 5
    messages: int = 5
    updated: dict[int, str] = field(default_factory=dict)
    answer: Callable[[str, int], Answer | None] = lambda _path, _start: None
    listing_calls: int = 0
    message_calls: int = 0

    async def respond(self, request: web.Request) -> Answer:
        path, start = request.path, int(request.query.get("after", "0"))
        is_listing = path.endswith("/conversations")
        self.listing_calls += is_listing
        self.message_calls += not is_listing
        if (told := self.answer(path, start)) is not None:
            return told
        if is_listing:
            return ok(_page(list(map(self._conversation, range(self.conversations))), start))
        thread = path.split("/")[-2]
        return ok(_page([_message(thread, number) for number in range(self.messages)], start))

    def _conversation(self, number: int) -> dict[str, Any]:
        people = [{"id": f"c{number}", "name": "Maria"}, {"id": "371", "name": "The Page"}]
        updated = self.updated.get(number, "2026-11-24T09:00:00+0000")
        return {"id": f"t_{number}", "participants": {"data": people}, "updated_time": updated, "message_count": 5}

    @property
    def all_ids(self) -> set[str]:
        return {f"t_{number}.{m}" for number in range(self.conversations) for m in range(self.messages)}


def _page(items: list[dict[str, Any]], start: int) -> dict[str, Any]:
    body: dict[str, Any] = {"data": items[start : start + 2]}
    if start + 2 < len(items):
        body["paging"] = {"cursors": {"after": str(start + 2)}, "next": f"https://x/?after={start + 2}"}
    return body


def _message(thread: str, number: int) -> dict[str, Any]:
    sender = {"id": thread.replace("t_", "c")}
    return {"id": f"{thread}.{number}", "from": sender, "created_time": "2026-11-24T08:00:00+0000", "message": "hi"}


@dataclass
class Stage:
    world: World
    client: GraphClient
    store: MemoryRuns
    published: list[Event] = field(default_factory=list)

    async def publish(self, events: list[Event]) -> None:
        self.published += events

    def crawl(self, **more: Any) -> Crawl:
        given = {"publish": self.publish, "clock": utc_now, "page_size": 100, "parallelism": 3, **more}
        return Crawl(account=PAGE, client=self.client, store=self.store, **given)

    @property
    def mids(self) -> list[str]:
        return [event.mid for event in self.published if isinstance(event, MessageEvent)]

    @property
    def completed(self) -> set[str]:
        return {event.thread_id for event in self.published if isinstance(event, ConversationCompletedEvent)}


@asynccontextmanager
async def staged(world: World) -> AsyncIterator[Stage]:
    async with serving(world.respond) as (_, client):
        yield Stage(world, client, MemoryRuns())
