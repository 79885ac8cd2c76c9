"""One conversation, read onto the topic page by page: newest first, down to what is known."""

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
from services.backfill.runs.progress import RunProgress
from shared.contract.encoded_events import EncodedEvent
from shared.graph_api.client import GraphClient, GraphPage
from shared.graph_api.errors import FATAL, ErrorKind, GraphError
from shared.runtime.clock import Clock

PublishEvents = Callable[[Sequence[EncodedEvent]], Awaitable[None]]
"""Returns when all of the events are acknowledged."""

STARTS = 5
"""How often a list whose cursor has expired is begun without getting any farther."""

log = structlog.get_logger()


@dataclass(slots=True)
class ConversationReader:
    """Any number of conversations may be read at once; the gate says how many pages are fetched at once."""

    client: GraphClient
    checkpoints: CheckpointStore
    publish: PublishEvents
    clock: Clock
    page_size: int
    gate: ConcurrencyGate
    progress: RunProgress

    async def read(self, conversation: RunConversation, known: StoredReading) -> GraphError | None:
        """None when it was read in full, else why it was not; what was read of it by then is published.

        One that was read in full before is read back to the newest message that was known then. One that this run
        has begun to read, in a process that was killed, goes on behind the page that was acknowledged last.
        """
        before, begun = _before(conversation, known), _begun(conversation, known)
        if begun is None:
            return await self._read_on(conversation, before, ReadPosition())
        then = replace(conversation, listed=replace(conversation.listed, updated_time=begun.updated_time))
        refusal = await self._read_on(then, before, begun.position)
        if refusal or begun.updated_time == conversation.listed.updated_time:
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
        """None when all was read, else the refusal and what was read until then.

        While a page is published, and its checkpoint made behind it, the next one is fetched already.
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
    """What one page came to, and how far the reading is with it. Behind the last one all is known or at its end."""

    events: list[EncodedEvent]
    hidden: int
    position: ReadPosition
    is_last: bool


@asynccontextmanager
async def cancelled_on_failure(task: asyncio.Task[Any]) -> AsyncIterator[None]:
    """Leaves no task behind that would go on with what the block has given up."""
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


@dataclass(slots=True)
class RestartLimit:
    """With a list that is begun anew because its cursor has expired: so many times without getting any farther."""

    farthest: int = -1
    starts: int = STARTS

    def allows(self, reached: int) -> bool:
        self.starts = STARTS if reached > self.farthest else self.starts
        self.farthest = max(self.farthest, reached)
        self.starts -= 1
        return self.starts > 0


def is_expired(refusal: GraphError, following: object) -> bool:
    """Cursors break when their item is removed, and with time. Whatever else a request of ours had wrong, the one
    without a cursor would have been refused for as well.

    Source: https://developers.facebook.com/docs/graph-api/results.
    """
    return bool(following) and refusal.kind is ErrorKind.BAD_REQUEST and refusal.code == 100


def _checkpoint(conversation: RunConversation, position: ReadPosition) -> Checkpoint:
    return Checkpoint(conversation.run_id, conversation.listed.thread_id, conversation.listed.updated_time, position)


def _history(conversation: RunConversation, position: ReadPosition, before: History | None) -> History:
    """What was read now, behind what was known before."""
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
    """None as well where another thread with that customer was read, or nobody knows how far."""
    history = known.history
    is_good = history and history.thread_id == conversation.listed.thread_id and history.newest
    return history if is_good else None


def _begun(conversation: RunConversation, known: StoredReading) -> Checkpoint | None:
    begun = known.checkpoint
    is_ours = begun and (begun.run_id, begun.thread_id) == (conversation.run_id, conversation.listed.thread_id)
    return begun if is_ours else None
