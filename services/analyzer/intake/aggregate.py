"""A batch of events into the store: messages first, then the marks. Doing it again changes nothing but due times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection as Some
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from shared.contract.events import ConversationCompletedEvent, ConversationListedEvent, Event
from shared.domain.messages import StoredMessage, document, fold_all, fold_into, from_document, message_of
from shared.runtime.retry import retry_until_stopped
from shared.store.conversation_updates import Timing, due_anew, first_mark, mark, tells_of_whole
from shared.store.erasures import Erasures
from shared.store.mongo import (
    ConnectionFailure,
    Database,
    Document,
    ReplaceOne,
    UpdateOne,
    insert_all,
    write_all,
)
from shared.store.server_clock import ServerClock

Known = dict[str, tuple[StoredMessage, int]]
"""Messages by id, each with the `rev` it was read at."""

MARKED_KEYS = 20_000
"""How many conversations are remembered to be in the store; 3 MB."""


class Aggregate:
    """`apply` is all that there is of it: for the intake, for tests and for benchmarks."""

    def __init__(
        self,
        database: Database,
        timing: Timing,
        forgotten: Erasures | None = None,
        clock: ServerClock | None = None,
    ) -> None:
        self._messages = database.messages
        self._conversations = database.conversations
        self._timing = timing
        self._clock = clock or ServerClock(database)
        self._forgotten = forgotten or Erasures(database)
        self._marked: set[str] = set()

    async def apply(self, events: Sequence[Event]) -> None:
        """Returns when every message is written and every conversation is marked; holds while the database is away.

        What is told of a customer who was forgotten since is passed over.

        UnstorableError when the batch has a value that MongoDB cannot hold; the rest of it may be written then.
        """
        if not events:
            return
        wanted = await retry_until_stopped(lambda: self._without_forgotten(events), ConnectionFailure)
        await retry_until_stopped(lambda: self._write_messages(wanted), ConnectionFailure)
        await retry_until_stopped(lambda: self._mark(wanted), ConnectionFailure)

    async def _without_forgotten(self, events: Sequence[Event]) -> Sequence[Event]:
        forgotten = await self._forgotten.of({str(event.conversation) for event in events})
        if not forgotten:
            return events
        return [
            event
            for event in events
            if (at := forgotten.get(str(event.conversation))) is None or _newest_fact(event) > at
        ]

    async def _write_messages(self, events: Sequence[Event]) -> None:
        """Inserts all as if it were new, which most of it is and costs a fifth of an upsert. What turns out to be known
        is read and compared: only then, and only that.

        Compare-and-set on `rev`. Where another writer came between, all is read and folded again, which is harmless
        because the fold is idempotent.
        """
        known = await insert_all(self._messages, [_new(state) for state in fold_all(events).values()])
        again = [event for event in events if message_of(event) in known]
        while again:
            writes = changes(await self._read(known), again)
            if not writes or await write_all(self._messages, writes):
                return

    async def _read(self, message_ids: Iterable[str]) -> Known:
        found = self._messages.find({"_id": {"$in": list(message_ids)}})
        return {stored["_id"]: (from_document(stored), stored["rev"]) async for stored in found}

    async def _mark(self, events: Sequence[Event]) -> None:
        """One update for all that are known to be there and are only due anew; else a write for each conversation: an
        insert where this process has not seen it yet.

        `history` on the same document is the backfill's and is left alone.
        """
        now = (await self._clock.look()).now
        groups: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            groups[str(event.conversation)].append(event)
        rest = set(groups) - await self._mark_anew(groups, now)
        new = [key for key in rest if key not in self._marked]
        there = await insert_all(
            self._conversations, [{"_id": key, **first_mark(groups[key], self._timing, now)} for key in new]
        )
        marks = [
            UpdateOne({"_id": key}, mark(groups[key], self._timing, now), upsert=True)
            for key in rest
            if key in self._marked or key in there
        ]
        while marks and not await write_all(self._conversations, marks):
            """Two upserts of one new conversation met: one of them now finds it there."""
        self._remember(groups)

    async def _mark_anew(self, groups: Mapping[str, Sequence[Event]], now: datetime) -> set[str]:
        """Returns which are marked by it. None where one of them was not there any more: who was forgotten, say."""
        anew = {key for key, group in groups.items() if key in self._marked and not any(map(tells_of_whole, group))}
        if not anew:
            return anew
        result = await self._conversations.update_many({"_id": {"$in": list(anew)}}, due_anew(self._timing, now))
        return anew if result.matched_count == len(anew) else set()

    def _remember(self, keys: Some[str]) -> None:
        if len(self._marked) + len(keys) > MARKED_KEYS:
            self._marked.clear()
        self._marked.update(keys)


def changes(known: Known, events: Iterable[Event]) -> list[ReplaceOne[Document]]:
    """What must be written so that the store holds what `events` tell as well. Pure."""
    states = fold_into({message_id: state for message_id, (state, _) in known.items()}, events)
    return [
        _replace(state, known[message_id][1] if message_id in known else 0)
        for message_id, state in states.items()
        if message_id not in known or known[message_id][0] != state
    ]


def _new(state: StoredMessage) -> Document:
    return {**document(state), "rev": 1}


def _replace(state: StoredMessage, rev: int) -> ReplaceOne[Document]:
    return ReplaceOne({"_id": state.message_id, "rev": rev}, {**document(state), "rev": rev + 1}, upsert=rev == 0)


def _newest_fact(event: Event) -> datetime:
    """When the newest of what `event` tells was so. A listing is made whenever history is read."""
    if isinstance(event, ConversationListedEvent | ConversationCompletedEvent):
        return event.updated_time or event.occurred_at
    return event.occurred_at
