"""One conversation, read onto the topic page by page: newest first, down to what is known."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from urllib.parse import quote

import structlog

from services.backfill.history import Checkpoint, History, HistoryStore, Known, Progress
from services.backfill.newest import newest_of, unknown
from services.backfill.normalise import MESSAGE_FIELDS, Reading
from services.backfill.parallel import Gate
from services.backfill.tally import Tally
from shared.clock import Clock
from shared.drafts import Draft
from shared.graph import GraphClient, Page
from shared.graph_errors import ErrorKind, GraphError

PublishDrafts = Callable[[Sequence[Draft]], Awaitable[None]]
"""Returns when all of the events are acknowledged."""

STARTS = 5
"""How often a list whose cursor has expired is begun without getting any farther."""

log = structlog.get_logger()


@dataclass(slots=True)
class ConversationReader:
    """Any number of conversations may be read at once; the gate says how many pages are fetched at once."""

    client: GraphClient
    history: HistoryStore
    publish: PublishDrafts
    clock: Clock
    page_size: int
    gate: Gate
    tally: Tally

    async def read(self, reading: Reading, known: Known) -> GraphError | None:
        """None when it was read in full, else why it was not; what was read of it by then is published.

        One that was read in full before is read back to the newest message that was known then. One that this run
        has begun to read, in a process that was killed, goes on behind the page that was acknowledged last.
        """
        await self.publish([reading.listed_draft(self.clock())])
        before, begun = _before(reading, known), _begun(reading, known)
        if begun is None:
            return await self._read_on(reading, before, Progress())
        then = replace(reading, listed=replace(reading.listed, updated_time=begun.updated_time))
        refusal = await self._read_on(then, before, begun.progress)
        if refusal or begun.updated_time == reading.listed.updated_time:
            return refusal
        now_known = await self.history.known([reading.key])
        return await self._read_on(reading, now_known[reading.key].history, Progress())

    async def _read_on(self, reading: Reading, before: History | None, progress: Progress) -> GraphError | None:
        """Behind `progress`, or anew where its cursor has expired, down to what was known `before`."""
        patience = Patience()
        while True:
            end = await self._read_pages(reading, before, progress)
            if isinstance(end, Progress):
                await self._complete(reading, before, end)
                return None
            refusal, reached = end
            if not is_expired(refusal, reached.following):
                return refusal
            if not patience.is_left(reached.read + reached.unavailable):
                return replace(refusal, kind=ErrorKind.TRANSIENT, detail="its cursors are refused again and again")
            progress = Progress()

    async def _read_pages(
        self, reading: Reading, before: History | None, progress: Progress
    ) -> Progress | tuple[GraphError, Progress]:
        """What was read when all was, else the refusal and what was read until then."""
        edge = f"{quote(reading.listed.thread_id, safe='')}/messages"
        parameters = {"fields": MESSAGE_FIELDS, **progress.following}
        async with aclosing(self.client.pages(edge, self.page_size, parameters)) as pages:
            while (page := await self._next(pages)) is not None:
                if isinstance(page, GraphError):
                    return page, progress
                progress, is_known = await self._take(reading, before, progress, page)
                if is_known:
                    break
                if page.following is not None:
                    await self.history.checkpoint(reading.key, _checkpoint(reading, progress))
        return progress

    async def _next(self, pages: AsyncIterator[Page | GraphError]) -> Page | GraphError | None:
        async with self.gate.entered():
            page = await anext(pages, None)
            if page is not None:
                self.gate.parallelism.heard(self.client.latency_seconds, self.client.governor.pressure)
            return page

    async def _take(
        self, reading: Reading, before: History | None, progress: Progress, page: Page
    ) -> tuple[Progress, bool]:
        """Publishes a page. Also whether the rest is known."""
        now = self.clock()
        items, is_known = unknown(page.items, before.newest if before else None)
        drafts = [draft for item in items if (draft := reading.message_draft(item, now))]
        if drafts:
            await self.publish(drafts)
        hidden = len(items) - len(drafts)
        self.tally.add(messages_published=len(drafts), messages_unavailable=hidden)
        read, unavailable = progress.read + len(drafts), progress.unavailable + hidden
        return Progress(page.following or {}, read, unavailable, newest_of(page.items, progress.newest)), is_known

    async def _complete(self, reading: Reading, before: History | None, progress: Progress) -> None:
        await self.publish([reading.completed_draft(progress.read, progress.unavailable, self.clock())])
        await self.history.remember(reading.key, _history(reading, progress, before))
        log.debug("conversation_read", conversation=str(reading.key), messages=progress.read)


@dataclass(slots=True)
class Patience:
    """With a list that is begun anew because its cursor has expired: so many times without getting any farther."""

    farthest: int = -1
    starts: int = STARTS

    def is_left(self, reached: int) -> bool:
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


def _checkpoint(reading: Reading, progress: Progress) -> Checkpoint:
    return Checkpoint(reading.run_id, reading.listed.thread_id, reading.listed.updated_time, progress)


def _history(reading: Reading, progress: Progress, before: History | None) -> History:
    """What was read now, behind what was known before."""
    listed = reading.listed
    return History(
        reading.run_id,
        listed.thread_id,
        listed.updated_time,
        progress.read + (before.messages if before else 0),
        progress.unavailable + (before.unavailable if before else 0),
        progress.newest or (before.newest if before else None),
    )


def _before(reading: Reading, known: Known) -> History | None:
    """None as well where another thread with that customer was read, or nobody knows how far."""
    history = known.history
    is_good = history and history.thread_id == reading.listed.thread_id and history.newest
    return history if is_good else None


def _begun(reading: Reading, known: Known) -> Checkpoint | None:
    begun = known.checkpoint
    is_ours = begun and (begun.run_id, begun.thread_id) == (reading.run_id, reading.listed.thread_id)
    return begun if is_ours else None
