"""A batch of events into the store: messages first, then the marks. Doing it again changes nothing but due times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from services.analyzer.holding import hold
from services.analyzer.marks import Timing, mark
from shared.conversations import StoredMessage, document, fold, from_document, message_of
from shared.events import Event, OfMessage, PostbackEvent
from shared.mongo import ConnectionFailure, Database, Document, ReplaceOne, UpdateOne, server_time, write_all

Known = dict[str, tuple[StoredMessage, int]]
"""Messages by id, each with the `rev` it was read at."""


class Aggregate:
    def __init__(self, database: Database, timing: Timing) -> None:
        self._database = database
        self._messages = database.messages
        self._conversations = database.conversations
        self._timing = timing

    async def apply(self, events: Sequence[Event]) -> None:
        """Returns when every message is written and every conversation is marked; holds while the database is away.

        UnstorableError when the batch has a value that MongoDB cannot hold; the rest of it may be written then.
        """
        await hold(lambda: self._write_messages(events), ConnectionFailure)
        await hold(lambda: self._mark(events), ConnectionFailure)

    async def _write_messages(self, events: Sequence[Event]) -> None:
        """Compare-and-set on `rev`. Where another writer came between, all is read and folded again, which is
        harmless because the fold is idempotent."""
        while True:
            known = await self._read({message for event in events if (message := message_of(event))})
            writes = changes(known, events)
            if not writes or await write_all(self._messages, writes):
                return

    async def _read(self, message_ids: Iterable[str]) -> Known:
        found = self._messages.find({"_id": {"$in": list(message_ids)}})
        return {stored["_id"]: (from_document(stored), stored["rev"]) async for stored in found}

    async def _mark(self, events: Sequence[Event]) -> None:
        """One upsert a conversation; `history` on the same document is the backfill's and is left alone."""
        now = await server_time(self._database)
        ordered = sorted(events, key=lambda event: event.conversation)  # stable: each keeps its order
        marks = [
            UpdateOne({"_id": str(key)}, mark(list(group), self._timing, now), upsert=True)
            for key, group in groupby(ordered, key=lambda event: event.conversation)
        ]
        while marks and not await write_all(self._conversations, marks):
            """Two upserts of one new conversation met: one of them now finds it there."""


def changes(known: Known, events: Iterable[Event]) -> list[ReplaceOne[Document]]:
    """What must be written so that the store holds what `events` tell as well. Pure."""
    states = {message_id: state for message_id, (state, _) in known.items()}
    for event in events:
        if isinstance(event, OfMessage | PostbackEvent) and event.message_id:
            states[event.message_id] = fold(states.get(event.message_id), event)
    return [
        _replace(state, known[message_id][1] if message_id in known else 0)
        for message_id, state in states.items()
        if message_id not in known or known[message_id][0] != state
    ]


def _replace(state: StoredMessage, rev: int) -> ReplaceOne[Document]:
    return ReplaceOne({"_id": state.message_id, "rev": rev}, {**document(state), "rev": rev + 1}, upsert=rev == 0)
