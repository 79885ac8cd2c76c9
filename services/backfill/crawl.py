"""One account: its conversations listed, and those that moved read onto the topic, until nothing has moved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from services.backfill.history import History, HistoryStore, Known
from services.backfill.lister import Lister, Parked
from services.backfill.listing import Listed, read_listed
from services.backfill.normalise import Reading
from services.backfill.parallel import Gate, Parallelism
from services.backfill.reading import ConversationReader, PublishDrafts
from services.backfill.tally import Tally
from services.backfill.values import Json, identity, is_settled
from shared.accounts import Account
from shared.clock import Clock
from shared.graph import GraphClient
from shared.graph_errors import FATAL, WARNINGS, ErrorKind, GraphError

__all__ = ["AccountStoppedError", "Crawl", "PublishDrafts"]

ROUNDS = 5
"""How often the listing is read again at the end, for what moved meanwhile. On an account that never rests, what moves
behind the last of them is the next run's, and the webhooks'."""


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
    """`is_again`: it is counted as read already, and has moved since."""

    reading: Reading
    known: Known
    is_again: bool


@dataclass(slots=True)
class Crawl:
    """Reads one account; `tally` is its progress."""

    account: Account
    client: GraphClient
    history: HistoryStore
    publish: PublishDrafts
    clock: Clock
    page_size: int
    parallelism: int
    tally: Tally
    _under_way: set[str] = field(default_factory=set, init=False)
    _given_up: set[str] = field(default_factory=set, init=False)

    async def read(self, run_id: str) -> None:
        """Reads everything that has moved since it was last read. AccountStoppedError when no further call can succeed.

        A conversation that cannot be read is counted with its reason, and the others are read. With the id of a run
        that a dead process left, goes on behind what that had acknowledged. Only when nothing was given up may the
        next run stop short of the end of the listing: what is gone may have been hidden from the token alone.
        """
        until = await self.history.complete_until(self.account)
        gate = Gate(Parallelism(self.parallelism))
        walk = await self._walk(run_id, until, gate, is_first=True)
        for _ in range(ROUNDS if walk.to_read or walk.pages > 1 else 0):
            walk = await self._walk(run_id, walk.newest, gate, is_first=False)
            if not walk.to_read:
                break
        if walk.newest and not self._given_up:
            await self.history.complete(self.account, run_id, walk.newest)

    async def _walk(self, run_id: str, until: datetime | None, gate: Gate, *, is_first: bool) -> Walk:
        """Down the listing to a page of which nothing has moved after `until` nor since it was read.

        The lister feeds readers by a short queue, so that memory does not grow with the account.
        """
        queue: asyncio.Queue[Task | None] = asyncio.Queue(self.parallelism * 2)
        reader = ConversationReader(
            self.client, self.history, self.publish, self.clock, self.page_size, gate, self.tally
        )
        try:
            async with asyncio.TaskGroup() as group:
                readers = [group.create_task(self._read_all(queue, reader)) for _ in range(self.parallelism)]
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
                    self._fail(page.thread_id, str(page.refusal))
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
                self._fail(identity(item.get("id")) or "unknown", listed)
        return readings

    def _fail(self, thread_id: str, reason: str) -> None:
        """Of one that is not among what was listed to be read. Once, however often it is listed."""
        if thread_id not in self._given_up:
            self._given_up.add(thread_id)
            self.tally.add(conversations_listed=1)
            self.tally.fail(thread_id, reason)

    async def _moved(self, readings: Sequence[Reading], *, is_first: bool) -> list[Task]:
        """What must be read; all are counted.

        One that moved, and is listed again at the end for it, is counted once: by what it was read for, and as
        unchanged besides when it was that before.
        """
        known = await self.history.known([reading.key for reading in readings])
        tasks = []
        for reading in readings:
            thread_id = reading.listed.thread_id
            if thread_id in self._under_way or thread_id in self._given_up:
                continue
            of_it = known.get(reading.key, Known())
            is_ours = of_it.history is not None and of_it.history.run_id == reading.run_id
            if not self._is_unchanged(reading, of_it.history):
                task = Task(reading, of_it, is_again=is_ours and not is_first)
                self._under_way.add(thread_id)
                self.tally.add(conversations_listed=not task.is_again)
                tasks.append(task)
            elif is_first:
                told = "conversations_read" if is_ours else "conversations_unchanged"
                self.tally.add(conversations_listed=1, **{told: 1})
        return tasks

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
        if refusal is None:
            self.tally.add(conversations_read=not task.is_again)
            return
        if refusal.kind in FATAL:
            raise AccountStoppedError(str(refusal), is_warned=refusal.kind in WARNINGS)
        self._given_up.add(thread_id)
        self.tally.add(conversations_read=-task.is_again)
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
