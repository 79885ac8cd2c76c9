"""Erasing a customer everywhere in the store, and telling those who follow `contact-updated`.

Every step may be done twice, and the first is to remember that it was begun: after a crash it is asked for again. The
contact leaves a stub under the fence of a lease of its own, so that a worker in the middle of an analysis can write
nothing, and in its outbox the tombstone, which whoever holds the conversation next would publish.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from services.analyzer.analysis.conversation import Conversation
from services.analyzer.contact.outbox import Outbox
from services.analyzer.queue.claim_queue import Claim, ClaimQueue
from shared.contract.contacts import activities_of
from shared.contract.ids import ConversationKey
from shared.store.contacts import Contacts, Entry, Stored
from shared.store.erasures import Erasures
from shared.store.expressions import later
from shared.store.mongo import Database, Document, DuplicateKeyError, server_time
from shared.store.requeue import requeue

LOOK_SECONDS = 0.1
TOMBSTONE = b""


class NothingKnownError(LookupError):
    """No such conversation was ever heard of."""


@dataclass(frozen=True, slots=True)
class Erased:
    """`version` is that of the tombstone."""

    at: datetime
    messages: int
    activities: int
    version: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """`on_wait` is told once that a worker is at the conversation."""

    database: Database
    queue: ClaimQueue
    outbox: Outbox
    on_wait: Callable[[], None] = lambda: None

    async def forget(self, key: ConversationKey) -> Erased:
        """Returns when it is all erased and the tombstone is acknowledged.

        NothingKnownError; LeaseLostError where the process stood still for so long that another went beyond it.
        """
        if not await self.database.conversations.find_one({"_id": str(key)}, {"_id": True}):
            raise NothingKnownError(str(key))
        at = await Erasures(self.database).remember(str(key))
        claim = await self._take(key)
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(self.queue.keep(claim))
            erased = await self._erase(claim, at)
            await self.queue.finish(claim)
            renewing.cancel()
        return erased

    async def _erase(self, claim: Claim, at: datetime) -> Erased:
        key, contacts = claim.contact_id, Contacts(self.database.contacts)
        stub = await self._leave_stub(contacts, claim, at)
        messages = await Erasures(self.database).erase(key, at)
        activities = await self.database.activities.delete_many(activities_of(key))
        for kept in (self.database.profiles, self.database.again):
            await kept.delete_one({"_id": key})
        await self.outbox.drain(claim, stub.outbox)
        if await self.database.messages.find_one({"conversation": key}, {"_id": True}):
            await requeue(self.database, [key])  # for what has been said since
        return Erased(at, messages, activities.deleted_count, stub.version)

    async def _leave_stub(self, contacts: Contacts, claim: Claim, at: datetime) -> Stored:
        """What is in the contact's place then. Versions that were not published are so first: none may be missing."""
        while True:
            stored = await contacts.load(claim.contact_id)
            if stored and stored.contact:
                await self.outbox.drain(claim, stored.unpublished(is_unsure=claim.is_unsure))
            stub = _stub(stored, claim.fence)
            if await self._put(claim.contact_id, stored, stub, at):
                return stub

    async def _put(self, key: str, before: Stored | None, stub: Stored, at: datetime) -> bool:
        """False when a person has edited the contact meanwhile. A stub that is there gets this fence as well."""
        outbox = [{"version": each.version, "value": each.value, "activity": None} for each in stub.outbox]
        document = {"_id": key, "version": stub.version, "fence": stub.fence, "forgotten_at": at, "outbox": outbox}
        collection = self.database.contacts
        if before:
            unchanged = {"_id": key, "version": before.version, "fence": {"$lte": stub.fence}}
            return (await collection.replace_one(unchanged, document)).matched_count == 1
        try:
            await collection.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def _take(self, key: ConversationKey) -> Claim:
        """A lease as a worker has one, once nobody has another. Due with it: a crash leaves it to the workers."""
        is_told = False
        while True:
            stored = await self.database.conversations.find_one({"_id": str(key)})
            if stored is None:
                raise NothingKnownError(str(key))
            if not _is_held(stored, await server_time(self.database)):
                if claim := await self._try(key, stored):
                    return claim
            elif not is_told:
                is_told = True
                self.on_wait()
            await asyncio.sleep(LOOK_SECONDS)

    async def _try(self, key: ConversationKey, stored: Document) -> Claim | None:
        held_until = time.monotonic() + self.queue.lease_seconds
        fence, revision = stored.get("fence", 0) + 1, stored.get("revision", 0)
        until = later("$$NOW", round(self.queue.lease_seconds * 1000))
        lease = {"owner": "forgetting", "since": "$$NOW", "until": until}
        seen = {name: stored.get(name) for name in ("_id", "fence", "revision")}
        seen["lease.until"] = stored.get("lease", {}).get("until")
        taken = {"fence": fence, "revision": revision, "lease": lease, "due_at": "$$NOW"}
        if not (await self.database.conversations.update_one(seen, [{"$set": taken}])).matched_count:
            return None
        return Claim(Conversation(str(key), *key), revision, fence, held_until, is_unsure="lease" in stored)


def _stub(stored: Stored | None, fence: int) -> Stored:
    """The tombstone is a version. Who was forgotten before is told of no more than once."""
    if stored and stored.contact is None:
        return Stored(None, stored.version, fence, stored.outbox)
    version = stored.version + 1 if stored else 1
    return Stored(None, version, fence, (Entry(version, TOMBSTONE),))


def _is_held(stored: Document, now: datetime) -> bool:
    until: datetime | None = stored.get("lease", {}).get("until")
    return until is not None and until > now
