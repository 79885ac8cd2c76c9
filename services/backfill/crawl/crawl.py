"""Crawls one account: lists its conversations and reads those that moved onto the topic, until none has moved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from services.backfill.crawl.checkpoints import CheckpointStore, History, StoredReading
from services.backfill.crawl.concurrency_gate import ConcurrencyGate
from services.backfill.crawl.conversation_lister import ConversationLister, UnlistableConversation
from services.backfill.crawl.conversation_reader import ConversationReader, PublishEvents
from services.backfill.crawl.normalise_messages import RunConversation
from services.backfill.crawl.parse_listing import Listed, read_listed
from services.backfill.crawl.values import Json, identity, is_settled, read_time
from services.backfill.runs.progress import CrawlProgress
from shared.domain.accounts import Account
from shared.graph_api.client import GraphClient
from shared.graph_api.errors import FATAL, WARNINGS, ErrorKind, GraphError
from shared.runtime.clock import Clock

ROUNDS = 5
"""How often the listing is read again at the end, for conversations that moved meanwhile. On an account that never
rests, what moves after the last round is left to the webhooks and the next run."""

MAX_COUNTED = 10_000
"""How many counted conversations are remembered. Pages shift while messages arrive, so a conversation that is listed
twice is listed again soon, and memory need not grow with the account."""
READ, UNCHANGED = "conversations_read", "conversations_unchanged"
EPOCH, NEVER = datetime(1970, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

MESSAGE_DELETED = 2534025
"""The subcode for a deleted message; its conversation still exists.
Source: https://developers.facebook.com/docs/messenger-platform/conversations."""


class AccountStoppedError(Exception):
    """No further call for this account can succeed; the message says what the operator must do.

    `is_warned`: no call may be made before the operator has looked into it.
    """

    def __init__(self, message: str, *, is_warned: bool = False) -> None:
        super().__init__(message)
        self.is_warned = is_warned


@dataclass(slots=True)
class ListingPass:
    """One pass down the listing. `newest` is when its newest conversation moved, `to_read` how many had to be read."""

    newest: datetime | None = None
    pages: int = 0
    to_read: int = 0
    refusal: GraphError | None = None


@dataclass(frozen=True, slots=True)
class ReadTask:
    """A conversation to read. `counted` is the counter that already includes it, from before it moved."""

    conversation: RunConversation
    known: StoredReading
    counted: str | None


@dataclass(slots=True)
class Crawl:
    """Reads one account and updates `progress`. `is_anew`: read everything, whatever other runs have read.

    `readers` conversations are in flight with at most `parallelism` calls, so that the platform is not idle while
    others wait for the broker or the database.
    """

    account: Account
    client: GraphClient
    checkpoints: CheckpointStore
    publish: PublishEvents
    clock: Clock
    page_size: int
    parallelism: int
    readers: int
    progress: CrawlProgress
    is_anew: bool = False
    _under_way: set[str] = field(default_factory=set, init=False)
    _given_up: set[str] = field(default_factory=set, init=False)
    _unread_from: datetime = field(default=NEVER, init=False)
    _counted: dict[str, str] = field(default_factory=dict, init=False)

    async def read(self, run_id: str) -> None:
        """Read everything that has moved since it was last read. AccountStoppedError when no further call can succeed.

        A conversation that cannot be read is counted with its reason, and the others are read. With the id of a killed
        run, reading continues after what that run had acknowledged. The next run lists down to the oldest conversation
        that was not read here, including those that are gone: they may only be hidden from this token.
        """
        until = None if self.is_anew else await self.checkpoints.complete_until(self.account)
        gate = ConcurrencyGate(self.parallelism, lambda: self.client.governor.pressure)
        listing_pass = await self._read_listing(run_id, until, gate, is_first=True)
        for _ in range(ROUNDS if listing_pass.to_read or listing_pass.pages > 1 else 0):
            listing_pass = await self._read_listing(run_id, listing_pass.newest, gate, is_first=False)
            if not listing_pass.to_read:
                break
        if listing_pass.newest or self._given_up:
            read_until = min(listing_pass.newest or NEVER, self._unread_from - timedelta(seconds=1))
            await self.checkpoints.complete(self.account, run_id, read_until)

    async def _read_listing(
        self, run_id: str, until: datetime | None, gate: ConcurrencyGate, *, is_first: bool
    ) -> ListingPass:
        """List down to a page on which nothing has moved after `until` or since it was read, and read what has moved.

        The lister feeds the readers through a short queue, so that memory does not grow with the account.
        """
        queue: asyncio.Queue[ReadTask | None] = asyncio.Queue(2 * self.readers)
        reader = ConversationReader(
            self.client, self.checkpoints, self.publish, self.clock, self.page_size, gate, self.progress
        )
        try:
            async with asyncio.TaskGroup() as group:
                readers = [group.create_task(self._read_all(queue, reader)) for _ in range(self.readers)]
                listing_pass = await self._list(run_id, until, queue, is_first=is_first)
                for _ in readers:
                    await queue.put(None)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        if listing_pass.refusal:
            raise _not_listed(listing_pass.refusal)
        return listing_pass

    async def _list(
        self, run_id: str, until: datetime | None, queue: asyncio.Queue[ReadTask | None], *, is_first: bool
    ) -> ListingPass:
        listing_pass = ListingPass()
        lister = ConversationLister(self.client, self.account, self.page_size)
        async with aclosing(lister.pages()) as pages:
            async for page in pages:
                if isinstance(page, GraphError):
                    if page.kind in FATAL:
                        raise _not_listed(page)
                    listing_pass.refusal = page
                    break
                if isinstance(page, UnlistableConversation):
                    self._fail(page.thread_id, page.updated_time, str(page.refusal))
                    continue
                listing_pass.pages += 1
                conversations = self._conversations(page, run_id)
                listing_pass.newest = listing_pass.newest or max(_times(conversations), default=None)
                tasks = await self._tasks_for(conversations, is_first=is_first)
                listing_pass.to_read += len(tasks)
                self.progress.listing_is_complete |= lister.is_complete
                for task in tasks:
                    await queue.put(task)
                if page and not tasks and until and _all_by(conversations, until):
                    break
        self.progress.listing_is_complete |= listing_pass.refusal is None
        return listing_pass

    def _conversations(self, items: Sequence[Json], run_id: str) -> list[RunConversation]:
        """Return the conversations of a page of the listing. One that cannot be parsed is counted as failed."""
        conversations = []
        for item in items:
            listed = read_listed(item, self.account)
            if isinstance(listed, Listed):
                conversations.append(RunConversation(self.account, listed, run_id))
            else:
                self._fail(identity(item.get("id")) or "unknown", read_time(item.get("updated_time")), listed)
        return conversations

    def _fail(self, thread_id: str, moved_at: datetime | None, reason: str) -> None:
        """Count a conversation that cannot be read, once, however often it is listed."""
        if thread_id not in self._given_up:
            self.progress.add(conversations_listed=1)
            self.progress.fail(thread_id, reason)
        self._give_up(thread_id, moved_at)

    def _give_up(self, thread_id: str, moved_at: datetime | None) -> None:
        self._given_up.add(thread_id)
        self._unread_from = min(self._unread_from, moved_at or EPOCH)

    async def _tasks_for(self, conversations: Sequence[RunConversation], *, is_first: bool) -> list[ReadTask]:
        """Return the conversations that must be read. All are counted, each once, however often it is listed."""
        known = await self.checkpoints.known([conversation.key for conversation in conversations])
        tasks = []
        for conversation in conversations:
            thread_id = conversation.listed.thread_id
            if thread_id in self._under_way or thread_id in self._given_up:
                continue
            stored = known.get(conversation.key, StoredReading())
            is_ours = stored.history is not None and stored.history.run_id == conversation.run_id
            if self.is_anew and not is_ours:
                stored = replace(stored, history=None)
            counted = self._counted.get(thread_id) or (READ if is_ours and not is_first else None)
            if not self._is_unchanged(conversation, stored.history):
                self._under_way.add(thread_id)
                self.progress.add(conversations_listed=counted is None)
                tasks.append(ReadTask(conversation, stored, counted))
            elif is_first and counted is None:
                self.progress.add(conversations_listed=1)
                self._count(thread_id, READ if is_ours else UNCHANGED)
        return tasks

    def _count(self, thread_id: str, counter: str) -> None:
        self.progress.add(**{counter: 1})
        self._counted[thread_id] = counter
        if len(self._counted) > MAX_COUNTED:
            del self._counted[next(iter(self._counted))]

    def _is_unchanged(self, conversation: RunConversation, history: History | None) -> bool:
        """Whether nothing can have moved since the conversation was read in full.

        Within the second of its `updated_time` it may have moved unseen. It is read again once that second is over, by
        another run if this one ends before; so is a conversation without a time.
        """
        if history is None or history.updated_time != conversation.listed.updated_time:
            return False
        is_over = is_settled(history.updated_time, self.clock())
        return history.is_settled or (history.run_id == conversation.run_id and not is_over)

    async def _read_all(self, queue: asyncio.Queue[ReadTask | None], reader: ConversationReader) -> None:
        while (task := await queue.get()) is not None:
            refusal = await reader.read(task.conversation, task.known)
            self._record(task, refusal)
            self._under_way.discard(task.conversation.listed.thread_id)

    def _record(self, task: ReadTask, refusal: GraphError | None) -> None:
        """Count the outcome. AccountStoppedError when every other call would get the same refusal."""
        thread_id = task.conversation.listed.thread_id
        if refusal and refusal.kind in FATAL:
            raise AccountStoppedError(str(refusal), is_warned=refusal.kind in WARNINGS)
        if task.counted:
            self.progress.add(**{task.counted: -1})
        if refusal is None:
            self._count(thread_id, READ)
            return
        self._give_up(thread_id, task.conversation.listed.updated_time)
        if refusal.kind is ErrorKind.GONE and refusal.subcode != MESSAGE_DELETED:
            self.progress.add(conversations_gone=1)
        else:
            self.progress.fail(thread_id, str(refusal))


def _not_listed(refusal: GraphError) -> AccountStoppedError:
    message = f"the conversations could not be listed: {refusal}"
    return AccountStoppedError(message, is_warned=refusal.kind in WARNINGS)


def _times(conversations: Sequence[RunConversation]) -> list[datetime]:
    return [conversation.listed.updated_time for conversation in conversations if conversation.listed.updated_time]


def _all_by(conversations: Sequence[RunConversation], until: datetime) -> bool:
    return all(
        conversation.listed.updated_time is not None and conversation.listed.updated_time <= until
        for conversation in conversations
    )
