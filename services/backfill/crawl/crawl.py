"""One account: its conversations listed, and those that moved read onto the topic, until nothing has moved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from services.backfill.crawl.checkpoints import History, HistoryStore, Known
from services.backfill.crawl.concurrency_gate import ConcurrencyGate
from services.backfill.crawl.conversation_lister import Lister, Parked
from services.backfill.crawl.conversation_reader import ConversationReader, PublishDrafts
from services.backfill.crawl.normalise_messages import Reading
from services.backfill.crawl.parse_listing import Listed, read_listed
from services.backfill.crawl.values import Json, identity, is_settled, read_time
from services.backfill.runs.progress import Tally
from shared.domain.accounts import Account
from shared.graph_api.client import GraphClient
from shared.graph_api.errors import FATAL, WARNINGS, ErrorKind, GraphError
from shared.runtime.clock import Clock

__all__ = ["AccountStoppedError", "Crawl", "PublishDrafts"]

ROUNDS = 5
"""How often the listing is read again at the end, for what moved meanwhile. On an account that never rests, what moves
behind the last of them is the next run's, and the webhooks'."""

MOST_COUNTED = 10_000
"""How many conversations a walk knows to be counted already. Pages shift by what is said while they are asked for, so
one that is listed twice is so soon, and memory need not grow with the account."""
READ, UNCHANGED = "conversations_read", "conversations_unchanged"
LONG_AGO, NEVER = datetime(1970, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

MESSAGE_DELETED = 2534025
"""Said of a message, after which its conversation is still there.
Source: https://developers.facebook.com/docs/messenger-platform/conversations."""


class AccountStoppedError(Exception):
    """No further call for this account can succeed; the message says what the operator must do. `is_warned`: and none
    may be made before they have looked into it.
    """

    def __init__(self, message: str, *, is_warned: bool = False) -> None:
        super().__init__(message)
        self.is_warned = is_warned


@dataclass(slots=True)
class Walk:
    """One walk down the listing. `newest` is when the newest of it had moved, `to_read` how many had to be read."""

    newest: datetime | None = None
    pages: int = 0
    to_read: int = 0
    refusal: GraphError | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """`counted` is the counter that has it already, of what was read before it moved."""

    reading: Reading
    known: Known
    counted: str | None


@dataclass(slots=True)
class Crawl:
    """Reads one account; `tally` is its progress. `is_anew`: everything, whatever other runs have read of it.

    `readers` conversations are on their way, with at most `parallelism` calls at once: the platform need not wait for
    those that wait for the broker or the database.
    """

    account: Account
    client: GraphClient
    history: HistoryStore
    publish: PublishDrafts
    clock: Clock
    page_size: int
    parallelism: int
    readers: int
    tally: Tally
    is_anew: bool = False
    _under_way: set[str] = field(default_factory=set, init=False)
    _given_up: set[str] = field(default_factory=set, init=False)
    _unread_from: datetime = field(default=NEVER, init=False)
    _counted: dict[str, str] = field(default_factory=dict, init=False)

    async def read(self, run_id: str) -> None:
        """Reads everything that has moved since it was last read. AccountStoppedError when no further call can succeed.

        A conversation that cannot be read is counted with its reason, and the others are read. With the id of a run
        that a dead process left, goes on behind what that had acknowledged. The next run may stop where all was read,
        which is behind what was given up: what is gone may have been hidden from the token alone.
        """
        until = None if self.is_anew else await self.history.complete_until(self.account)
        gate = ConcurrencyGate(self.parallelism, lambda: self.client.governor.pressure)
        walk = await self._walk(run_id, until, gate, is_first=True)
        for _ in range(ROUNDS if walk.to_read or walk.pages > 1 else 0):
            walk = await self._walk(run_id, walk.newest, gate, is_first=False)
            if not walk.to_read:
                break
        if walk.newest or self._given_up:
            read_until = min(walk.newest or NEVER, self._unread_from - timedelta(seconds=1))
            await self.history.complete(self.account, run_id, read_until)

    async def _walk(self, run_id: str, until: datetime | None, gate: ConcurrencyGate, *, is_first: bool) -> Walk:
        """Down the listing to a page of which nothing has moved after `until` nor since it was read.

        The lister feeds readers by a short queue, so that memory does not grow with the account.
        """
        queue: asyncio.Queue[Task | None] = asyncio.Queue(2 * self.readers)
        reader = ConversationReader(
            self.client, self.history, self.publish, self.clock, self.page_size, gate, self.tally
        )
        try:
            async with asyncio.TaskGroup() as group:
                readers = [group.create_task(self._read_all(queue, reader)) for _ in range(self.readers)]
                walk = await self._list(run_id, until, queue, is_first=is_first)
                for _ in readers:
                    await queue.put(None)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        if walk.refusal:
            raise _not_listed(walk.refusal)
        return walk

    async def _list(
        self, run_id: str, until: datetime | None, queue: asyncio.Queue[Task | None], *, is_first: bool
    ) -> Walk:
        walk = Walk()
        lister = Lister(self.client, self.account, self.page_size)
        async with aclosing(lister.pages()) as pages:
            async for page in pages:
                if isinstance(page, GraphError):
                    if page.kind in FATAL:
                        raise _not_listed(page)
                    walk.refusal = page
                    break
                if isinstance(page, Parked):
                    self._fail(page.thread_id, page.updated_time, str(page.refusal))
                    continue
                walk.pages += 1
                readings = self._readings(page, run_id)
                walk.newest = walk.newest or max(_times(readings), default=None)
                tasks = await self._moved(readings, is_first=is_first)
                walk.to_read += len(tasks)
                self.tally.listing_is_complete |= lister.is_complete
                for task in tasks:
                    await queue.put(task)
                if page and not tasks and until and _all_by(readings, until):
                    break
        self.tally.listing_is_complete |= walk.refusal is None
        return walk

    def _readings(self, items: Sequence[Json], run_id: str) -> list[Reading]:
        """Of a page of the listing. One that cannot be understood is a failure, and not left out."""
        readings = []
        for item in items:
            listed = read_listed(item, self.account)
            if isinstance(listed, Listed):
                readings.append(Reading(self.account, listed, run_id))
            else:
                self._fail(identity(item.get("id")) or "unknown", read_time(item.get("updated_time")), listed)
        return readings

    def _fail(self, thread_id: str, moved_at: datetime | None, reason: str) -> None:
        """Of one that is not among what was listed to be read. Once, however often it is listed."""
        if thread_id not in self._given_up:
            self.tally.add(conversations_listed=1)
            self.tally.fail(thread_id, reason)
        self._give_up(thread_id, moved_at)

    def _give_up(self, thread_id: str, moved_at: datetime | None) -> None:
        self._given_up.add(thread_id)
        self._unread_from = min(self._unread_from, moved_at or LONG_AGO)

    async def _moved(self, readings: Sequence[Reading], *, is_first: bool) -> list[Task]:
        """What must be read; all are counted, each once, however often it is listed."""
        known = await self.history.known([reading.key for reading in readings])
        tasks = []
        for reading in readings:
            thread_id = reading.listed.thread_id
            if thread_id in self._under_way or thread_id in self._given_up:
                continue
            of_it = known.get(reading.key, Known())
            is_ours = of_it.history is not None and of_it.history.run_id == reading.run_id
            if self.is_anew and not is_ours:
                of_it = replace(of_it, history=None)
            counted = self._counted.get(thread_id) or (READ if is_ours and not is_first else None)
            if not self._is_unchanged(reading, of_it.history):
                self._under_way.add(thread_id)
                self.tally.add(conversations_listed=counted is None)
                tasks.append(Task(reading, of_it, counted))
            elif is_first and counted is None:
                self.tally.add(conversations_listed=1)
                self._count(thread_id, READ if is_ours else UNCHANGED)
        return tasks

    def _count(self, thread_id: str, told: str) -> None:
        self.tally.add(**{told: 1})
        self._counted[thread_id] = told
        if len(self._counted) > MOST_COUNTED:
            del self._counted[next(iter(self._counted))]

    def _is_unchanged(self, reading: Reading, history: History | None) -> bool:
        """Where the platform tells no time, and in the second that it tells, what was read may have moved unseen: that
        is read again once the second is over, by another run if this one ends before.
        """
        if history is None or history.updated_time != reading.listed.updated_time:
            return False
        is_over = is_settled(history.updated_time, self.clock())
        return history.is_settled or (history.run_id == reading.run_id and not is_over)

    async def _read_all(self, queue: asyncio.Queue[Task | None], reader: ConversationReader) -> None:
        while (task := await queue.get()) is not None:
            refusal = await reader.read(task.reading, task.known)
            self._settle(task, refusal)
            self._under_way.discard(task.reading.listed.thread_id)

    def _settle(self, task: Task, refusal: GraphError | None) -> None:
        """AccountStoppedError when the refusal is one that every other call would get."""
        thread_id = task.reading.listed.thread_id
        if refusal and refusal.kind in FATAL:
            raise AccountStoppedError(str(refusal), is_warned=refusal.kind in WARNINGS)
        if task.counted:
            self.tally.add(**{task.counted: -1})
        if refusal is None:
            self._count(thread_id, READ)
            return
        self._give_up(thread_id, task.reading.listed.updated_time)
        if refusal.kind is ErrorKind.GONE and refusal.subcode != MESSAGE_DELETED:
            self.tally.add(conversations_gone=1)
        else:
            self.tally.fail(thread_id, str(refusal))


def _not_listed(refusal: GraphError) -> AccountStoppedError:
    told = f"the conversations could not be listed: {refusal}"
    return AccountStoppedError(told, is_warned=refusal.kind in WARNINGS)


def _times(readings: Sequence[Reading]) -> list[datetime]:
    return [reading.listed.updated_time for reading in readings if reading.listed.updated_time]


def _all_by(readings: Sequence[Reading], until: datetime) -> bool:
    return all(reading.listed.updated_time is not None and reading.listed.updated_time <= until for reading in readings)
