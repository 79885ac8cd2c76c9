"""Crawls in the test's own process, with the simulator in it, a real broker and a real database."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from services.backfill.crawl.checkpoints import CheckpointStore
from services.backfill.crawl.crawl import Crawl
from services.backfill.runs.progress import CrawlProgress
from services.simulator.app import APP_SECRET, create_app
from services.simulator.corpus import Corpus, generate
from shared.bus.producer import AIOKafkaProducer, Record, open_producer, publish
from shared.bus.reader import read_all
from shared.contract.encoded_events import EncodedEvent, dump_encoded_event, encoded_event_headers
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.graph_api.client import GraphClient
from shared.graph_api.rate_governor import BudgetGovernor
from shared.runtime.clock import utc_now
from shared.store.mongo import Database
from tests.conftest import Stack
from tests.support.governors import local_governor

HURRY = 1_000
Hear = Callable[[Sequence[EncodedEvent]], Awaitable[None]]


def hurried_governor(platform: Platform) -> BudgetGovernor:
    """A governor whose minute lasts 60 ms: the app's budget never says when access returns."""
    return local_governor(
        platform, sleep=lambda seconds: asyncio.sleep(seconds / HURRY), now=lambda: time.monotonic() * HURRY
    )


@dataclass
class Crawling:
    """`acknowledged` has the mids of each account in the order in which the broker acknowledged them."""

    corpus: Corpus
    url: str
    session: ClientSession
    producer: AIOKafkaProducer
    stack: Stack
    checkpoints: CheckpointStore
    acknowledged: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    completed: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def page(self, account_id: str = "") -> Account:
        """The simulator's Page under `account_id`, which distinguishes its events and histories."""
        page = next(each for each in self.corpus.accounts if each.platform is Platform.MESSENGER)
        return Account(
            platform=page.platform, account_id=account_id or page.id, page_id=page.page_id, name=page.name,
            encrypted_token="x",
        )  # fmt: skip

    async def read(
        self, account: Account, run_id: str = "run", *, before: Hear | None = None,
        page_size: int = 4, parallelism: int = 3, deadline_seconds: float = 20.0,
    ) -> CrawlProgress:  # fmt: skip
        """Run a crawl and return its progress. `before` is called with the events about to be published."""

        async def publish_events(events: Sequence[EncodedEvent]) -> None:
            if before:
                await before(events)
            topic = self.stack.topics.message_events
            records = [
                Record(topic, each.conversation.encode(), dump_encoded_event(each), encoded_event_headers(each))
                for each in events
            ]
            await publish(self.producer, records)
            for each in events:
                if each.kind == "message":
                    self.acknowledged[account.account_id].append(each.value["mid"])
                elif each.kind == "conversation_completed":
                    self.completed[account.account_id].add(each.value["thread_id"])

        client = GraphClient(
            self.session, self.url, "v26.0", self.corpus.accounts[0].token, hurried_governor(account.platform),
            APP_SECRET, deadline_seconds=deadline_seconds,
        )  # fmt: skip
        progress = CrawlProgress()
        crawl = Crawl(
            account, client, self.checkpoints, publish_events, utc_now, page_size, parallelism, readers=parallelism,
            progress=progress,
        )  # fmt: skip
        try:
            await crawl.read(run_id)
        finally:
            progress.add(calls=client.calls)
        return progress

    async def call(self, path: str, body: object = None) -> Any:
        method = "GET" if body is None else "POST"
        async with self.session.request(method, f"{self.url}/_simulator/{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def oracle(self) -> dict[str, set[str]]:
        """Return the message ids of each thread of the Page, by the simulator."""
        return {
            each["thread_id"]: set(each["readable"])
            for each in await self.call("messages")
            if each["platform"] == "messenger"
        }

    async def on_topic(self) -> list[bytes]:
        return [record.value for record in await read_all(self.stack.kafka, self.stack.topics.message_events)]


@asynccontextmanager
async def crawling(stack: Stack, database: Database, conversations: int, messages: int) -> AsyncIterator[Crawling]:
    corpus = generate(7, utc_now().replace(second=0, microsecond=0), conversations, 1, messages)
    async with (
        ClientSession() as session,
        TestServer(create_app(corpus, session)) as server,
        open_producer(stack.kafka) as producer,
    ):
        yield Crawling(corpus, str(server.make_url("")), session, producer, stack, CheckpointStore(database))
