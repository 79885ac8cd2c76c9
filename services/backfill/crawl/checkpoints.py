"""How far the history of each conversation was read, in `conversations`, and of each account, in `crawls`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.backfill.crawl.newest_second import NewestSecond
from services.backfill.crawl.write_coalescer import WriteCoalescer
from shared.contract.ids import ConversationKey
from shared.domain.accounts import Account
from shared.store.conversation_updates import checkpoint_reading, complete_reading
from shared.store.conversations import ConversationDocument, Conversations
from shared.store.mongo import Database, UpdateOne


@dataclass(frozen=True, slots=True)
class ReadPosition:
    """How far the reading of a conversation has come.

    Everything before `following`, the parameters of the next page, is acknowledged; it is empty at the newest message.
    `is_settled`: the second in which the conversation last moved was over when its newest message was requested.
    """

    following: Mapping[str, str] = field(default_factory=dict)
    read: int = 0
    unavailable: int = 0
    newest: NewestSecond | None = None
    is_settled: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """A conversation that was read in full: by which run, as it was when it had last moved at `updated_time`.

    The counts are of all that was ever read of it. Where it is not `is_settled` it may have moved since, unseen.
    """

    run_id: str
    thread_id: str
    updated_time: datetime | None
    messages: int = 0
    unavailable: int = 0
    newest: NewestSecond | None = None
    is_settled: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A conversation that is being read: by which run, as it was at `updated_time` when that began."""

    run_id: str
    thread_id: str
    updated_time: datetime | None
    position: ReadPosition


@dataclass(frozen=True, slots=True)
class StoredReading:
    history: History | None = None
    checkpoint: Checkpoint | None = None


class CheckpointStore:
    """`history` and `reading` are this service's only fields of a conversation, `crawls` a collection of its own.

    Everything is written behind acknowledged events, and nothing where `require_lease` raises.
    """

    def __init__(self, database: Database, require_lease: Callable[[], None] = lambda: None) -> None:
        self._require_lease = require_lease
        self._conversations = Conversations(database)
        self._writes = WriteCoalescer(self._conversations.write_checkpoints)
        self._crawls = database.crawls

    async def known(self, keys: Sequence[ConversationKey]) -> dict[ConversationKey, StoredReading]:
        """By one query. What was never read has no entry."""
        found = await self._conversations.checkpoints(str(key) for key in keys)
        return {ConversationKey.parse(stored["_id"]): _known(stored) for stored in found}

    async def checkpoint(self, key: ConversationKey, checkpoint: Checkpoint) -> None:
        position = checkpoint.position
        told = {
            "run_id": checkpoint.run_id,
            "thread_id": checkpoint.thread_id,
            "updated_time": checkpoint.updated_time,
            "following": list(position.following.items()),
            "messages": position.read,
            "unavailable": position.unavailable,
            "newest": _stored(position.newest),
            "is_settled": position.is_settled,
        }
        await self._write(checkpoint_reading(key, told))

    async def remember(self, key: ConversationKey, history: History) -> None:
        told = {
            "run_id": history.run_id,
            "thread_id": history.thread_id,
            "updated_time": history.updated_time,
            "messages": history.messages,
            "unavailable": history.unavailable,
            "newest": _stored(history.newest),
            "is_settled": history.is_settled,
        }
        await self._write(complete_reading(key, told))

    async def complete_until(self, account: Account) -> datetime | None:
        """What of the account had last moved by then was read in full, as it is now; None where nobody knows."""
        stored = await self._crawls.find_one({"_id": account.key})
        until: datetime | None = stored["complete_until"] if stored else None
        return until

    async def complete(self, account: Account, run_id: str, until: datetime) -> None:
        self._require_lease()
        told = {"complete_until": until, "run_id": run_id}
        await self._crawls.update_one({"_id": account.key}, {"$set": told}, upsert=True)

    async def _write(self, update: UpdateOne) -> None:
        self._require_lease()
        await self._writes.write(update)


def _stored(second: NewestSecond | None) -> dict[str, Any] | None:
    return {"at": second.at, "ids": sorted(second.ids)} if second else None


def _known(stored: ConversationDocument) -> StoredReading:
    history, reading = stored.get("history"), stored.get("reading")
    return StoredReading(_history(history) if history else None, _checkpoint(reading) if reading else None)


def _history(told: Mapping[str, Any]) -> History:
    return History(
        told["run_id"], told["thread_id"], told["updated_time"], told["messages"], told["unavailable"],
        _maybe(told.get("newest")), told.get("is_settled", False),
    )  # fmt: skip


def _checkpoint(told: Mapping[str, Any]) -> Checkpoint | None:
    """None for one of an earlier layout that skipped what it had published before its cursor expired: read again."""
    if told.get("ahead"):
        return None
    position = ReadPosition(
        dict(told["following"]), told["messages"], told["unavailable"], _maybe(told.get("newest")),
        told.get("is_settled", False),
    )  # fmt: skip
    return Checkpoint(told["run_id"], told["thread_id"], told["updated_time"], position)


def _maybe(told: Mapping[str, Any] | None) -> NewestSecond | None:
    return _second(told) if told else None


def _second(told: Mapping[str, Any]) -> NewestSecond:
    return NewestSecond(told["at"], frozenset(told["ids"]))
