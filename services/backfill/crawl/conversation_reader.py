"""Reads one conversation onto the topic, page by page, from the newest message down to what is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import structlog

from services.backfill.crawl.checkpoints import Checkpoint, CheckpointStore, History, ReadPosition, StoredReading
from services.backfill.crawl.concurrency_gate import ConcurrencyGate
from services.backfill.crawl.newest_second import newest_of, unknown
from services.backfill.crawl.normalise_messages import MESSAGE_FIELDS, RunConversation
from services.backfill.crawl.values import is_settled
from services.backfill.runs.progress import CrawlProgress
from shared.contract.encoded_events import EncodedEvent
from shared.graph_api.client import GraphClient, GraphPage
from shared.graph_api.errors import FATAL, ErrorKind, GraphError
from shared.runtime.clock import Clock

PublishEvents = Callable[[Sequence[EncodedEvent]], Awaitable[None]]
"""Returns when all events are acknowledged."""

MAX_STARTS = 5
"""How often a list whose cursors expire is started without getting any further."""

log = structlog.get_logger()


@dataclass(slots=True)
class ConversationReader:
    """Reads any number of conversations at once; the gate limits how many pages are fetched at once."""

    client: GraphClient
    checkpoints: CheckpointStore
    publish: PublishEvents
    clock: Clock
    page_size: int
    gate: ConcurrencyGate
    progress: CrawlProgress

    async def read(self, conversation: RunConversation, known: StoredReading) -> GraphError | None:
        """Return `None` when the conversation was read in full, else the refusal. What was read is published anyway.

        A conversation that was read in full before is read back to the newest message known then. If a killed process
        of this run has read a part of it, reading continues after the last page that was acknowledged.
        """
        before, continued = _before(conversation, known), _continued(conversation, known)
        if continued is None:
            return await self._read_on(conversation, before, ReadPosition())
        then = replace(conversation, listed=replace(conversation.listed, updated_time=continued.updated_time))
        refusal = await self._read_on(then, before, continued.position)
        if refusal or continued.updated_time == conversation.listed.updated_time:
            return refusal
        now_known = await self.checkpoints.known([conversation.key])
        return await self._read_on(conversation, now_known[conversation.key].history, ReadPosition())

    async def _read_on(
        self, conversation: RunConversation, before: History | None, position: ReadPosition
    ) -> GraphError | None:
        """Read from `position` down to what was known `before`, and from the newest message again if a cursor expires.

        Events that are published again have the same ids.
        """
        restarts = RestartLimit()
        while True:
            end = await self._read_pages(conversation, before, position)
            if end is None:
                return None
            refusal, reached = end
            if not is_expired(refusal, reached.following):
                return refusal
            if not restarts.allows(reached.read + reached.unavailable):
                return replace(refusal, kind=ErrorKind.TRANSIENT, detail="its cursors are refused again and again")
            position = ReadPosition()

    async def _read_pages(
        self, conversation: RunConversation, before: History | None, position: ReadPosition
    ) -> tuple[GraphError, ReadPosition] | None:
        """Return `None` when all was read, else the refusal and the position it was met at.

        The next page is fetched while a page is published and its checkpoint is written.
        """
        edge = f"{quote(conversation.listed.thread_id, safe='')}/messages"
        parameters = {"fields": MESSAGE_FIELDS, **position.following}
        opening = [conversation.listed_event(self.clock())]
        if not position.following:
            position = replace(position, is_settled=is_settled(conversation.listed.updated_time, self.clock()))
        async with aclosing(self.client.pages(edge, self.page_size, parameters)) as pages:
            page = await self._next(pages, position)
            while not isinstance(page, GraphError):
                result = self._process(conversation, before, position, page)
                position = result.position
                if result.is_last:
                    await self._complete(conversation, before, result, opening)
                    return None
                following = asyncio.create_task(self._next(pages, position))
                async with cancelled_on_failure(following):
                    await self._acknowledge(result, [*opening, *result.events])
                    await self.checkpoints.checkpoint(conversation.key, _checkpoint(conversation, position))
                    page, opening = await following, []
        return page, position

    async def _next(
        self, pages: AsyncIterator[GraphPage | GraphError], position: ReadPosition
    ) -> GraphPage | GraphError:
        """Fetch the next page. A refusal that stops the account closes the gate to all that wait."""
        async with self.gate.entered():
            page = await anext(pages)
            if isinstance(page, GraphError) and page.kind in FATAL and not is_expired(page, position.following):
                self.gate.close()
            return page

    def _process(
        self, conversation: RunConversation, before: History | None, position: ReadPosition, page: GraphPage
    ) -> PageResult:
        now = self.clock()
        items, is_known = unknown(page.items, before.newest if before else None)
        events = [event for item in items if (event := conversation.message_event(item, now))]
        hidden = len(items) - len(events)
        so_far = ReadPosition(
            page.following or {},
            position.read + len(events),
            position.unavailable + hidden,
            newest_of(page.items, position.newest),
            position.is_settled,
        )
        return PageResult(events, hidden, so_far, is_last=is_known or page.following is None)

    async def _acknowledge(self, result: PageResult, events: Sequence[EncodedEvent]) -> None:
        if events:
            await self.publish(events)
        self.progress.add(messages_published=len(result.events), messages_unavailable=result.hidden)

    async def _complete(
        self, conversation: RunConversation, before: History | None, result: PageResult, opening: Sequence[EncodedEvent]
    ) -> None:
        position = result.position
        end = conversation.completed_event(position.read, position.unavailable, self.clock())
        await self._acknowledge(result, [*opening, *result.events, end])
        await self.checkpoints.remember(conversation.key, _history(conversation, position, before))
        log.debug("conversation_read", conversation=str(conversation.key), messages=position.read)


@dataclass(frozen=True, slots=True)
class PageResult:
    """The events of one page and the position after it. After the last page everything is known, or the list ends."""

    events: list[EncodedEvent]
    hidden: int
    position: ReadPosition
    is_last: bool


@asynccontextmanager
async def cancelled_on_failure(task: asyncio.Task[Any]) -> AsyncIterator[None]:
    """Cancel `task` if the block fails."""
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


@dataclass(slots=True)
class RestartLimit:
    """Limits how often a list is restarted after an expired cursor without getting any further."""

    furthest: int = -1
    starts: int = MAX_STARTS

    def allows(self, reached: int) -> bool:
        self.starts = MAX_STARTS if reached > self.furthest else self.starts
        self.furthest = max(self.furthest, reached)
        self.starts -= 1
        return self.starts > 0


def is_expired(refusal: GraphError, following: object) -> bool:
    """Whether the refusal is about the cursor: it expires with time and when its item is removed.

    With any other fault, our request without a cursor would have been refused as well.

    Source: https://developers.facebook.com/docs/graph-api/results.
    """
    return bool(following) and refusal.kind is ErrorKind.BAD_REQUEST and refusal.code == 100


def _checkpoint(conversation: RunConversation, position: ReadPosition) -> Checkpoint:
    return Checkpoint(conversation.run_id, conversation.listed.thread_id, conversation.listed.updated_time, position)


def _history(conversation: RunConversation, position: ReadPosition, before: History | None) -> History:
    """Combine what was read now with what was known before."""
    listed = conversation.listed
    return History(
        conversation.run_id,
        listed.thread_id,
        listed.updated_time,
        position.read + (before.messages if before else 0),
        position.unavailable + (before.unavailable if before else 0),
        position.newest or (before.newest if before else None),
        position.is_settled,
    )


def _before(conversation: RunConversation, known: StoredReading) -> History | None:
    """Return what was read before, or `None` if that was another thread with the customer or its extent is unknown."""
    history = known.history
    is_good = history and history.thread_id == conversation.listed.thread_id and history.newest
    return history if is_good else None


def _continued(conversation: RunConversation, known: StoredReading) -> Checkpoint | None:
    continued = known.checkpoint
    is_ours = continued and (continued.run_id, continued.thread_id) == (
        conversation.run_id,
        conversation.listed.thread_id,
    )
    return continued if is_ours else None
