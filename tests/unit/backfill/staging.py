"""A small fake Graph API with conversations, and a crawl of it with checkpoints in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from services.backfill.crawl.checkpoints import Checkpoint, CheckpointStore, History, StoredReading
from services.backfill.crawl.crawl import Crawl
from services.backfill.runs.progress import CrawlProgress
from shared.contract.encoded_events import EncodedEvent, dump_encoded_event
from shared.contract.events import ConversationCompletedEvent, Event, MessageEvent, load_event
from shared.contract.ids import ConversationKey, Platform
from shared.domain.accounts import Account
from shared.graph_api.client import GraphClient
from tests.unit.backfill.fake_graph import Answer, error, ok, serving

PAGE = Account(platform=Platform.MESSENGER, account_id="371", page_id="371", name="The [Page]", encrypted_token="x")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class MemoryCheckpoints(CheckpointStore):
    def __init__(self) -> None:
        self.histories: dict[str, History] = {}
        self.checkpoints: dict[str, Checkpoint] = {}
        self.until: datetime | None = None

    async def known(self, keys: Sequence[ConversationKey]) -> dict[ConversationKey, StoredReading]:
        return {key: StoredReading(self.histories.get(str(key)), self.checkpoints.get(str(key))) for key in keys}

    async def checkpoint(self, key: ConversationKey, checkpoint: Checkpoint) -> None:
        self.checkpoints[str(key)] = checkpoint

    async def remember(self, key: ConversationKey, history: History) -> None:
        self.histories[str(key)] = history
        self.checkpoints.pop(str(key), None)

    async def complete_until(self, account: Account) -> datetime | None:
        return self.until

    async def complete(self, account: Account, run_id: str, until: datetime) -> None:
        self.until = until

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """By thread: how many messages were read, and how many were not shown."""
        return {each.thread_id: (each.messages, each.unavailable) for each in self.histories.values()}


@dataclass
class Thread:
    """A conversation of customer `c<number>`. Messages are (id, time), newest first."""

    number: int
    messages: list[tuple[str, datetime]]
    id: str = ""

    def __post_init__(self) -> None:
        self.id = f"t_{self.number}"

    @property
    def place(self) -> tuple[datetime, str]:
        return self.messages[0][1], self.id

    def node(self) -> dict[str, Any]:
        people = [{"id": f"c{self.number}", "name": "Maria"}, {"id": "371", "name": "The Page"}]
        updated, count = graph_time(self.messages[0][1]), len(self.messages)
        return {"id": self.id, "participants": {"data": people}, "updated_time": updated, "message_count": count}

    def message(self, mid: str, at: datetime) -> dict[str, Any]:
        return {"id": mid, "from": {"id": f"c{self.number}"}, "created_time": graph_time(at), "message": "hi"}


def graph_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S+0000")


class World:
    """Conversations `t_0` … of `messages` messages each, `t_0` the latest, in pages of `size`.

    `answer` may change any answer, by its path and by how many items of the list lie before it. A cursor stays where
    it stood while what is before it changes, until it is in `expired`.
    """

    def __init__(
        self,
        conversations: int = 5,
        messages: int = 5,
        size: int = 2,
        answer: Callable[[str, int], Answer | None] = lambda _path, _start: None,
    ) -> None:
        self.threads = [
            Thread(n, [(f"t_{n}.{m}", NOON - timedelta(minutes=n, seconds=m)) for m in range(messages)])
            for n in range(conversations)
        ]
        self.size, self.answer = size, answer
        self.expired: set[str] = set()
        self.listing_calls = self.message_calls = 0

    async def respond(self, request: web.Request) -> Answer:
        path, after = request.path, request.query.get("after", "")
        if path.endswith("/conversations"):
            self.listing_calls += 1
            listed = sorted(self.threads, key=lambda thread: thread.place, reverse=True)
            return self._paged(path, after, [(*thread.place, thread.node()) for thread in listed])
        self.message_calls += 1
        thread = next(thread for thread in self.threads if thread.id == path.split("/")[-2])
        return self._paged(path, after, [(at, mid, thread.message(mid, at)) for mid, at in thread.messages])

    def _paged(self, path: str, after: str, items: list[tuple[datetime, str, dict[str, Any]]]) -> Answer:
        cursors = [f"{at.isoformat()} {own_id}" for at, own_id, _ in items]
        start = sum(cursor > after for cursor in cursors) + (after in cursors) if after else 0
        if (scripted := self.answer(path, start)) is not None:
            return scripted
        if after in self.expired:
            return error(100)
        body: dict[str, Any] = {"data": [node for _, _, node in items[start : start + self.size]]}
        if start + self.size < len(items):
            body["paging"] = {"cursors": {"after": cursors[start + self.size - 1]}, "next": "https://x/"}
        return ok(body)

    def thread(self, number: int) -> Thread:
        return next(thread for thread in self.threads if thread.number == number)

    def say(self, number: int, *mids: str, minutes: float = 1) -> None:
        """Add messages so many minutes after noon; an unknown number starts a conversation."""
        at = NOON + timedelta(minutes=minutes)
        if not any(thread.number == number for thread in self.threads):
            self.threads.append(Thread(number, []))
        for mid in mids:
            self.thread(number).messages.insert(0, (mid, at))
            self.thread(number).messages.sort(key=lambda message: message[::-1], reverse=True)

    @property
    def all_ids(self) -> set[str]:
        return {mid for thread in self.threads for mid, _ in thread.messages}


@dataclass
class Stage:
    world: World
    client: GraphClient
    checkpoints: MemoryCheckpoints = field(default_factory=MemoryCheckpoints)
    published: list[Event] = field(default_factory=list)

    async def publish(self, events: Sequence[EncodedEvent]) -> None:
        self.published += [load_event(dump_encoded_event(event)) for event in events]

    def crawl(self, **more: Any) -> Crawl:
        """Return a crawl with its own progress and calls counted from zero."""
        given = {
            "publish": self.publish,
            "clock": lambda: NOON + timedelta(days=1),
            "page_size": 100,
            "parallelism": 3,
            "readers": more.get("parallelism", 3),
            "progress": CrawlProgress(),
            **more,
        }
        self.client.calls = 0
        return Crawl(account=PAGE, client=self.client, checkpoints=self.checkpoints, **given)

    async def read(self, run_id: str = "run1", **more: Any) -> CrawlProgress:
        """Run a crawl and return its progress, calls included."""
        crawl = self.crawl(**more)
        await crawl.read(run_id)
        crawl.progress.add(calls=self.client.calls)
        return crawl.progress

    @property
    def mids(self) -> list[str]:
        return [event.mid for event in self.published if isinstance(event, MessageEvent)]

    @property
    def completed(self) -> set[str]:
        return {event.thread_id for event in self.published if isinstance(event, ConversationCompletedEvent)}


@asynccontextmanager
async def staged(world: World) -> AsyncIterator[Stage]:
    async with serving(world.respond) as (_, client):
        yield Stage(world, client)
