"""The `conversations` collection: the only module that writes it, and the analysis queue that its documents are.

States of a conversation, by the fields that define them:

                 mark_pending                    due_at passes
      idle ───────────────────────▶ pending ─────────────────────▶ due ◀───────── requeue (from any state)
   (no due_at)                (due_at in the future)        (due_at has passed)
       ▲                            ▲                               │ claim: fence + 1
       │ finish:                    │ finish:                       ▼
       │ revision as claimed        │ revision has grown         leased ──▶ leased, and renewed (renew)
       └────────────────────────────┴──────────────────────── (lease.until in the future)
                                                                    │ the worker dies, or stops (release)
                                                                    ▼
                                                              lease expired ───▶ claim: leased with lease.is_unsure
                                                       (lease.until has passed)

- Held by a backfill: `held_until` is set by the listing of a conversation and removed when it is read in full. It only
  moves `due_at`, so a held conversation is pending.
- Published: a lease is removed by `finish` alone, and `finish` runs after everything is published. So without a lease
  the contact is published, and a lease, even an expired one, means that the contact may be unpublished (ADR 15,
  `contact_versions`).
- Erased: an erasure claims the conversation as a worker does. `erase_description` then removes what the document says
  of the customer; the queue's fields and the backfill's stay.

All times are the server's.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, TypedDict, cast

from shared.contract.events import Event
from shared.store.conversation_updates import (
    DESCRIBED,
    Timing,
    describes_conversation,
    finish_pending,
    finish_unchanged,
    mark_pending,
    mark_pending_again,
    new_pending,
    requeue_now,
)
from shared.store.expressions import later
from shared.store.indexes import EPOCH, Index
from shared.store.mongo import Database, Document, UpdateOne, insert_all, write_all

INDEXES = (Index("conversations", (("due_at", 1), ("_id", 1)), where={"due_at": {"$gte": EPOCH}}),)
DUE_BATCH_SIZE = 10_000


class Lease(TypedDict, total=False):
    """`owner` is a process, for people to read; `group` is the token of one claim. `is_unsure`: an earlier lease had
    expired, so the contact may be unpublished."""

    owner: str
    group: str
    since: datetime
    until: datetime
    is_unsure: bool


class ConversationDocument(TypedDict, total=False):
    """A document of `conversations`. Any field but the first may be missing, and most are in most states."""

    _id: str
    platform: str
    account_id: str
    customer_id: str

    # the queue
    revision: Annotated[int, "counts marks and requeues: `finish` compares it with the one that was claimed"]
    first_pending_at: Annotated[datetime, "the first event that is not analysed"]
    last_event_at: datetime
    due_at: Annotated[datetime, "when to analyse; indexed"]
    reanalyse_at: Annotated[datetime, "a person asked for a new analysis then"]
    fence: Annotated[int, "counts claims: a contact is never written under an older one"]
    lease: Lease

    # what events describe (DESCRIBED), each group with its time
    listed_at: datetime
    thread_id: str
    updated_time: datetime
    message_count: int
    participants: list[Document]
    referred_at: datetime
    referral: Document

    # a backfill
    held_until: Annotated[datetime, "no analysis before, while a backfill reads the conversation"]
    completed_at: datetime
    completed_run: Annotated[str, "the run whose completion event arrived last"]
    reading: Annotated[Document, "the backfill's checkpoint"]
    history: Annotated[Document, "what was read in full"]


class Conversations:
    """Claims are made, renewed and finished in groups: a write of many documents costs a fraction of many writes."""

    def __init__(self, database: Database) -> None:
        self._conversations = database.conversations

    async def get(self, key: str) -> ConversationDocument | None:
        return cast("ConversationDocument | None", await self._conversations.find_one({"_id": key}))

    async def exists(self, key: str) -> bool:
        return await self._conversations.find_one({"_id": key}, {"_id": True}) is not None

    async def account_ids(self) -> list[str]:
        return await self._conversations.distinct("account_id")

    async def mark_pending(
        self, events: Mapping[str, Sequence[Event]], timing: Timing, now: datetime, known: Container[str]
    ) -> None:
        """Mark conversations pending for the events of a batch, which are given by conversation.

        `known` are conversations that the caller has marked before. One update marks all known conversations that no
        event describes. Each other known one is updated. Each unknown one is inserted, or updated if it exists.
        """
        rest = set(events) - await self._mark_pending_again(events, timing, now, known)
        new = [key for key in rest if key not in known]
        documents = [{"_id": key, **new_pending(events[key], timing, now)} for key in new]
        existing = await insert_all(self._conversations, documents)
        marks = [
            UpdateOne({"_id": key}, mark_pending(events[key], timing, now), upsert=True)
            for key in rest
            if key in known or key in existing
        ]
        while marks and not await write_all(self._conversations, marks):
            """Two upserts of one new conversation met; the next attempt finds it there."""

    async def _mark_pending_again(
        self, events: Mapping[str, Sequence[Event]], timing: Timing, now: datetime, known: Container[str]
    ) -> set[str]:
        """Return the conversations that were marked; none when one of them has disappeared."""
        keys = {key for key, of_key in events.items() if key in known and not any(map(describes_conversation, of_key))}
        if not keys:
            return keys
        update = mark_pending_again(timing, now)
        result = await self._conversations.update_many({"_id": {"$in": list(keys)}}, update)
        return keys if result.matched_count == len(keys) else set()

    async def requeue(self, keys: Iterable[str], *, reanalyse: bool = False) -> int:
        """Make conversations due now and return how many of them exist. One that is leased is analysed once more.

        With `reanalyse` an analysis from before now is made again, even when nothing was said since.
        """
        update = requeue_now(reanalyse=reanalyse)
        return (await self._conversations.update_many({"_id": {"$in": list(keys)}}, update)).matched_count

    def due(self, since: datetime, until: datetime) -> AsyncIterator[ConversationDocument]:
        """Return `_id` and `lease.until` of what became due from `since` until `until`, longest overdue first."""
        due = {"due_at": {"$gte": since, "$lte": until}}
        found = self._conversations.find(due, {"lease.until": True}, batch_size=DUE_BATCH_SIZE).sort("due_at", 1)
        return cast("AsyncIterator[ConversationDocument]", found)

    async def count_due(self, now: datetime) -> int:
        return await self._conversations.count_documents({"due_at": {"$gte": EPOCH, "$lte": now}})

    async def claim(
        self, keys: Sequence[str], owner: str, now: datetime, lease_seconds: float, *, only_due: bool = True
    ) -> list[ConversationDocument]:
        """Lease those of `keys` that nobody has, under one new `lease.group`, and return their documents.

        Without `only_due` they are made due, so that a crash leaves them to the workers. A claim compares and sets: of
        many claimants one has the conversation. `now` must not be ahead of the server's time.
        """
        group, due = secrets.token_hex(8), {"due_at": {"$gte": EPOCH, "$lte": now}} if only_due else {}
        lease: Lease = {"owner": owner, "group": group, "since": now, "until": now + timedelta(seconds=lease_seconds)}
        more = {} if only_due else {"due_at": now}
        wanted = {"_id": {"$in": list(keys)}, **due}
        number = await self._lease({**wanted, "lease": {"$exists": False}}, lease, more)
        if number < len(keys):
            unsure: Lease = {**lease, "is_unsure": True}
            number += await self._lease({**wanted, "lease.until": {"$lte": now}}, unsure, more)
        if not number:
            return []
        claimed = self._conversations.find(_leased(group, keys), batch_size=len(keys) + 1)
        return [cast("ConversationDocument", stored) async for stored in claimed]

    async def _lease(self, where: Document, lease: Lease, more: Document) -> int:
        """`revision` grows by 0: a document that only a backfill has written so far gets one."""
        update = {"$inc": {"fence": 1, "revision": 0}, "$set": {"lease": lease, **more}}
        return (await self._conversations.update_many(where, update)).matched_count

    async def is_leased(self, key: str) -> bool:
        """Return whether there is a lease, expired or not."""
        return await self._conversations.find_one({"_id": key, "lease": {"$exists": True}}, {"_id": True}) is not None

    async def renew(self, group: str, keys: Sequence[str], lease_seconds: float) -> set[str]:
        """Renew the leases of one claim and return the conversations that are still leased under it."""
        leased, until = _leased(group, keys), later("$$NOW", round(lease_seconds * 1000))
        result = await self._conversations.update_many(leased, [{"$set": {"lease.until": until}}])
        if result.matched_count == len(keys):
            return set(keys)
        return {stored["_id"] async for stored in self._conversations.find(leased, {"_id": True})}

    async def finish(self, group: str, revisions: Mapping[str, int], timing: Timing, *, is_answered: bool) -> None:
        """End the leases of conversations of one claim, everything of which is published.

        `revisions` are those that were claimed: a conversation whose revision has grown since stays pending. Most
        conversations of a claim have the same revision, so there are few updates. Unless `is_answered` a request to
        reanalyse stays, for the next worker.
        """
        by_revision: dict[int, list[str]] = defaultdict(list)
        for key, revision in revisions.items():
            by_revision[revision].append(key)
        finished = 0
        for revision, keys in by_revision.items():
            unchanged, update = (
                {**_leased(group, keys), "revision": revision},
                finish_unchanged(is_answered=is_answered),
            )
            finished += (await self._conversations.update_many(unchanged, update)).matched_count
        if finished < len(revisions):
            update_rest = finish_pending(timing, is_answered=is_answered)
            await self._conversations.update_many(_leased(group, revisions), update_rest)

    async def release(self, group: str, keys: Iterable[str]) -> None:
        """Let the leases of one claim expire now, so that any worker claims the conversations at once."""
        await self._conversations.update_many(_leased(group, keys), {"$set": {"lease.until": EPOCH}})

    async def erase_description(self, key: str, until: datetime) -> None:
        """Remove what was described of the customer until `until`."""
        for at, fields in DESCRIBED.items():
            described = {"_id": key, at: {"$lte": until}}
            await self._conversations.update_one(described, {"$unset": dict.fromkeys(fields, "")})

    async def checkpoints(self, keys: Iterable[str]) -> list[ConversationDocument]:
        """Return `_id`, `history` and `reading` of the conversations that exist."""
        found = self._conversations.find({"_id": {"$in": list(keys)}}, {"history": True, "reading": True})
        return [cast("ConversationDocument", stored) async for stored in found]

    async def write_checkpoints(self, updates: Sequence[UpdateOne]) -> bool:
        """Write `checkpoint_reading` and `complete_reading` of many; False when another writer got between."""
        return await write_all(self._conversations, updates)

    async def histories(self) -> list[ConversationDocument]:
        """Return the conversations that a backfill has read in full."""
        found = self._conversations.find({"history": {"$exists": True}})
        return [cast("ConversationDocument", stored) async for stored in found]

    async def is_settled(self) -> bool:
        """Return whether nothing waits for analysis and every history that was read has arrived in full."""
        in_transit = {"history": {"$exists": True}, "$expr": {"$ne": ["$history.run_id", "$completed_run"]}}
        for waiting in ({"due_at": {"$exists": True}}, in_transit):
            if await self._conversations.find_one(waiting, {"_id": True}):
                return False
        return True


def _leased(group: str, keys: Iterable[str]) -> Document:
    return {"_id": {"$in": list(keys)}, "lease.group": group}
