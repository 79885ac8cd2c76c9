"""One run: list the conversations, read each to its beginning, publish page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

import structlog

from services.backfill.listing import LISTING_FIELDS, Listed, read_listed
from services.backfill.normalise import MESSAGE_FIELDS, Reading
from services.backfill.runs import RunStore
from shared.accounts import Account
from shared.clock import Clock
from shared.events import Event
from shared.graph import GraphClient
from shared.graph_errors import FATAL, GraphError
from shared.runs import ConversationFailure, Run, RunCounters, RunState

PublishEvents = Callable[[list[Event]], Awaitable[None]]
"""Returns when all of the events are acknowledged."""

HEARTBEAT_SECONDS = 1.0
FAILURES_KEPT = 100

log = structlog.get_logger()


class AccountStoppedError(Exception):
    """No further call for this account can succeed; the message says what the operator must do."""


@dataclass(slots=True)
class Tally:
    """What a run has come to so far; the display reads it while it grows."""

    counters: RunCounters = field(default_factory=RunCounters)
    failures: list[ConversationFailure] = field(default_factory=list)
    throttled_until: datetime | None = None
    listing_is_complete: bool = False

    def add(self, **by: int) -> None:
        now = {name: getattr(self.counters, name) + number for name, number in by.items()}
        self.counters = self.counters.model_copy(update=now)

    def fail(self, thread_id: str, reason: str) -> None:
        self.add(conversations_failed=1)
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(ConversationFailure(thread_id=thread_id, reason=reason))


@dataclass(slots=True)
class Crawl:
    """A run of one account: `run` from its begin on, `tally` its progress."""

    account: Account
    client: GraphClient
    store: RunStore
    publish: PublishEvents
    clock: Clock
    page_size: int
    parallelism: int
    tally: Tally = field(default_factory=Tally)
    run: Run | None = None

    async def execute(self) -> Run:
        """Runs to its end and returns the run in its final state, which is stored. Cancelled, it stores CANCELLED.

        ActiveRunError when another process is at it or has taken it over. Any other exception leaves it FAILED.
        """
        begun = self.run = await self.store.begin(self.account)
        self._go_on_from(begun)
        state, reason = RunState.FAILED, "the process failed; its log says why"
        try:
            await self._crawl(begun)
            failed = self.tally.counters.conversations_failed
            state = RunState.PARTIAL if failed else RunState.COMPLETED
            reason = f"{failed} conversations failed" if failed else ""
        except AccountStoppedError as stopped:
            reason = str(stopped)
        except asyncio.CancelledError:
            state, reason = RunState.CANCELLED, "interrupted by the operator"
            raise
        finally:
            end = {"state": state, "reason": reason or None, "finished_at": self.clock()}
            self.run = self._now(begun).model_copy(update=end)
            await asyncio.shield(self.store.save(self.run))
        return self.run

    def _go_on_from(self, begun: Run) -> None:
        """What a process that died had published and called stays counted; conversations are counted anew."""
        counted = begun.counters.model_dump(include={"messages_published", "messages_unavailable"})
        self.tally.add(**counted)
        self.client.calls = begun.counters.calls

    def _now(self, begun: Run) -> Run:
        counters = self.tally.counters.model_copy(update={"calls": self.client.calls})
        seen = {"failures": tuple(self.tally.failures), "throttled_until": self.tally.throttled_until}
        return begun.model_copy(update={"counters": counters, **seen})

    async def _beat(self, begun: Run) -> None:
        while True:
            await self.store.save(self._now(begun))
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _crawl(self, begun: Run) -> None:
        """The lister feeds readers by a short queue, so that memory does not grow with the account."""
        queue: asyncio.Queue[Reading | None] = asyncio.Queue(self.parallelism * 2)
        try:
            async with asyncio.TaskGroup() as group:
                heart = group.create_task(self._beat(begun))
                readers = [group.create_task(self._read_all(queue)) for _ in range(self.parallelism)]
                await self._list(begun.run_id, queue)
                for _ in readers:
                    await queue.put(None)
                await asyncio.wait(readers)
                heart.cancel()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _list(self, run_id: str, queue: asyncio.Queue[Reading | None]) -> None:
        edge = f"{self.account.page_id}/conversations"
        parameters = {"platform": self.account.platform.value, "fields": LISTING_FIELDS}
        async for page in self.client.pages(edge, self.page_size, parameters):
            if isinstance(page, GraphError):
                raise AccountStoppedError(f"the conversations could not be listed: {page}")
            for item in page.items:
                self.tally.add(conversations_listed=1)
                listed = read_listed(item, self.account)
                if isinstance(listed, Listed):
                    await queue.put(Reading(self.account, listed, run_id))
                else:
                    self.tally.fail(str(item.get("id", "unknown")), listed)
        self.tally.listing_is_complete = True

    async def _read_all(self, queue: asyncio.Queue[Reading | None]) -> None:
        while (reading := await queue.get()) is not None:
            known, updated_time = await self.store.history(reading.key), reading.listed.updated_time
            if known is None or updated_time is None or known.updated_time != updated_time:
                await self._read(reading)
            elif known.run_id == reading.run_id:
                self.tally.add(conversations_read=1)
            else:
                self.tally.add(conversations_unchanged=1)

    async def _read(self, reading: Reading) -> None:
        await self.publish([reading.listed_event(self.clock())])
        read = unavailable = 0
        edge = f"{quote(reading.listed.thread_id, safe='')}/messages"
        async for page in self.client.pages(edge, self.page_size, {"fields": MESSAGE_FIELDS}):
            if isinstance(page, GraphError):
                if page.kind in FATAL:
                    raise AccountStoppedError(str(page))
                self.tally.fail(reading.listed.thread_id, str(page))
                return
            now = self.clock()
            events: list[Event] = [event for item in page.items if (event := reading.message_event(item, now))]
            await self.publish(events)
            read, unavailable = read + len(events), unavailable + len(page.items) - len(events)
            self.tally.add(messages_published=len(events), messages_unavailable=len(page.items) - len(events))
        await self.publish([reading.completed_event(read, unavailable, self.clock())])
        await self.store.remember(reading, read, unavailable)
        self.tally.add(conversations_read=1)
        log.debug("conversation_read", conversation=str(reading.key), messages=read, unavailable=unavailable)
