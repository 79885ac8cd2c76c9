"""The `messages` collection: one document a message, which holds what all events about it say (`domain.messages`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from shared.contract.events import Event
from shared.domain.messages import StoredMessage, document, fold_all, fold_into, from_document, message_of
from shared.store.indexes import EPOCH, Index
from shared.store.mongo import Database, Document, ReplaceOne, insert_all, write_all

INDEXES = (Index("messages", (("conversation", 1), ("sent_at", 1), ("_id", 1))),)

Revisions = dict[str, tuple[StoredMessage, int]]
"""Messages by id, each with the `rev` at which it was read."""
READ_BATCH_SIZE = 2_000


class MessageStore:
    """Reads and writes messages. `rev` counts the writes of a document: a write replaces only the `rev` it read."""

    def __init__(self, database: Database) -> None:
        self._messages = database.messages

    async def merge(self, events: Sequence[Event]) -> None:
        """Write what `events` say of messages; doing it again changes nothing.

        All messages are inserted first: most are new, and an insert costs a fifth of an upsert. Those that exist are
        read, folded and replaced at their `rev`. When another writer got between, they are read and folded again.
        ConnectionFailure, UnstorableError and WriteFailedError as of `insert_all`; a part may be written then.
        """
        known = await insert_all(self._messages, [_first(state) for state in fold_all(events).values()])
        repeated = [event for event in events if message_of(event) in known]
        while repeated:
            writes = changes(await self._read(known), repeated)
            if not writes or await write_all(self._messages, writes):
                return

    async def _read(self, message_ids: Iterable[str]) -> Revisions:
        found = self._messages.find({"_id": {"$in": list(message_ids)}})
        return {stored["_id"]: (from_document(stored), stored["rev"]) async for stored in found}

    async def of_conversations(self, keys: Sequence[str], limit: int | None) -> dict[str, list[StoredMessage]] | None:
        """Return the messages of each conversation, unordered; None when there are more than `limit` in all."""
        messages: dict[str, list[StoredMessage]] = defaultdict(list)
        found = self._messages.find({"conversation": {"$in": list(keys)}}, batch_size=limit or READ_BATCH_SIZE)
        number = 0
        async for stored in found.limit(limit + 1 if limit else 0):
            number += 1
            if limit and number > limit:
                return None
            messages[stored["conversation"]].append(from_document(stored))
        return messages

    async def of_conversation(self, key: str) -> list[StoredMessage]:
        """Return all messages of a conversation, oldest first; those without a time come before the others."""
        return [from_document(each) async for each in self._messages.find({"conversation": key}).sort("sent_at", 1)]

    async def by_ids(self, message_ids: Iterable[str]) -> list[StoredMessage]:
        """Return the messages that exist, in the order of their ids."""
        found = self._messages.find({"_id": {"$in": list(message_ids)}}).sort("_id", 1)
        return [from_document(each) async for each in found]

    async def has_any(self, key: str) -> bool:
        return await self._messages.find_one({"conversation": key}, {"_id": True}) is not None

    async def newest(self, key: str, skip: int, limit: int) -> list[StoredMessage]:
        """Return one page of the messages that have a time, newest first."""
        found = self._messages.find(_sent(key)).sort([("sent_at", -1), ("_id", -1)])
        return [from_document(each) async for each in found.skip(skip).limit(limit)]

    async def count_sent(self, key: str) -> int:
        """Count the messages that have a time."""
        return await self._messages.count_documents(_sent(key))

    async def count_deleted(self, key: str) -> int:
        return await self._messages.count_documents({"conversation": key, "deleted_at": {"$exists": True}})

    async def count_standing(self, keys: Sequence[str]) -> dict[str, int]:
        """Count the messages by conversation that have a time and are not deleted."""
        standing = {"conversation": {"$in": list(keys)}, "sent_at": {"$ne": None}, "deleted_at": None}
        counted: list[Document] = [{"$match": standing}, {"$group": {"_id": "$conversation", "number": {"$sum": 1}}}]
        return {each["_id"]: each["number"] async for each in self._messages.aggregate(counted)}

    async def sent_ids(self, message_ids: Iterable[str]) -> set[str]:
        """Return those of `message_ids` that are stored with a time, deleted or not."""
        found = {"_id": {"$in": list(message_ids)}, "sent_at": {"$ne": None}}
        return {stored["_id"] async for stored in self._messages.find(found, {"_id": True})}

    async def erase(self, key: str, until: datetime) -> int:
        """Delete the messages sent until `until` and return how many there were.

        A message known only by its reactions or its deletion has no time of its own; theirs count instead.
        """
        is_not_later = {"$not": {"$gt": until}}
        reported = ("deleted_at", "reactions.inbound.at", "reactions.outbound.at")
        untimed = {"sent_at": None, **dict.fromkeys(reported, is_not_later)}
        erased = {"conversation": key, "$or": [{"sent_at": {"$lte": until}}, untimed]}
        return (await self._messages.delete_many(erased)).deleted_count


def changes(known: Revisions, events: Iterable[Event]) -> list[ReplaceOne[Document]]:
    """Return the writes after which the store also holds what `events` say. Pure."""
    states = fold_into({message_id: state for message_id, (state, _) in known.items()}, events)
    return [
        _replace(state, known[message_id][1] if message_id in known else 0)
        for message_id, state in states.items()
        if message_id not in known or known[message_id][0] != state
    ]


def _sent(key: str) -> Document:
    return {"conversation": key, "sent_at": {"$gte": EPOCH}}


def _first(state: StoredMessage) -> Document:
    return {**document(state), "rev": 1}


def _replace(state: StoredMessage, rev: int) -> ReplaceOne[Document]:
    return ReplaceOne({"_id": state.message_id, "rev": rev}, {**document(state), "rev": rev + 1}, upsert=rev == 0)
