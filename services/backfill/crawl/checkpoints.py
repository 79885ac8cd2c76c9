"""How far each conversation and each account was read, as values and as stored documents."""

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
from shared.store.crawls import Crawls
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
    """A conversation that was read in full by a run, in the state in which it had last moved at `updated_time`.

    The counts cover all runs. If it is not `is_settled`, it may have moved since then unseen.
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
    """A conversation that a run is reading, in the state in which it had last moved at `updated_time`."""

    run_id: str
    thread_id: str
    updated_time: datetime | None
    position: ReadPosition


@dataclass(frozen=True, slots=True)
class StoredReading:
    """What is stored about the reading of a conversation."""

    history: History | None = None
    checkpoint: Checkpoint | None = None


class CheckpointStore:
    """Stores `history` and `reading`, the only fields of a conversation that this service writes, and `crawls`.

    Callers write after events are acknowledged. Nothing is written when `require_lease` raises.
    """

    def __init__(self, database: Database, require_lease: Callable[[], None] = lambda: None) -> None:
        self._require_lease = require_lease
        self._conversations = Conversations(database)
        self._writes = WriteCoalescer(self._conversations.write_checkpoints)
        self._crawls = Crawls(database)

    async def known(self, keys: Sequence[ConversationKey]) -> dict[ConversationKey, StoredReading]:
        """Return what is stored, by one query. A conversation that was never read has no entry."""
        found = await self._conversations.checkpoints(str(key) for key in keys)
        return {ConversationKey.parse(stored["_id"]): _known(stored) for stored in found}

    async def checkpoint(self, key: ConversationKey, checkpoint: Checkpoint) -> None:
        position = checkpoint.position
        fields = {
            "run_id": checkpoint.run_id,
            "thread_id": checkpoint.thread_id,
            "updated_time": checkpoint.updated_time,
            "following": list(position.following.items()),
            "messages": position.read,
            "unavailable": position.unavailable,
            "newest": _stored(position.newest),
            "is_settled": position.is_settled,
        }
        await self._write(checkpoint_reading(key, fields))

    async def remember(self, key: ConversationKey, history: History) -> None:
        fields = {
            "run_id": history.run_id,
            "thread_id": history.thread_id,
            "updated_time": history.updated_time,
            "messages": history.messages,
            "unavailable": history.unavailable,
            "newest": _stored(history.newest),
            "is_settled": history.is_settled,
        }
        await self._write(complete_reading(key, fields))

    async def complete_until(self, account: Account) -> datetime | None:
        """Return the time up to which everything that had moved was read in full; `None` when nothing is known."""
        return await self._crawls.complete_until(account)

    async def complete(self, account: Account, run_id: str, until: datetime) -> None:
        self._require_lease()
        await self._crawls.complete(account, run_id, until)

    async def _write(self, update: UpdateOne) -> None:
        self._require_lease()
        await self._writes.write(update)


def _stored(second: NewestSecond | None) -> dict[str, Any] | None:
    return {"at": second.at, "ids": sorted(second.ids)} if second else None


def _known(stored: ConversationDocument) -> StoredReading:
    history, reading = stored.get("history"), stored.get("reading")
    return StoredReading(_history(history) if history else None, _checkpoint(reading) if reading else None)


def _history(stored: Mapping[str, Any]) -> History:
    return History(
        stored["run_id"], stored["thread_id"], stored["updated_time"], stored["messages"], stored["unavailable"],
        _maybe(stored.get("newest")), stored.get("is_settled", False),
    )  # fmt: skip


def _checkpoint(stored: Mapping[str, Any]) -> Checkpoint | None:
    """Return `None`, which means "read again", for a checkpoint of an earlier layout that skips published messages."""
    if stored.get("ahead"):
        return None
    position = ReadPosition(
        dict(stored["following"]), stored["messages"], stored["unavailable"], _maybe(stored.get("newest")),
        stored.get("is_settled", False),
    )  # fmt: skip
    return Checkpoint(stored["run_id"], stored["thread_id"], stored["updated_time"], position)


def _maybe(stored: Mapping[str, Any] | None) -> NewestSecond | None:
    return _second(stored) if stored else None


def _second(stored: Mapping[str, Any]) -> NewestSecond:
    return NewestSecond(stored["at"], frozenset(stored["ids"]))
