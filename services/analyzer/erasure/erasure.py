"""Erases a customer everywhere in the store and publishes a tombstone.

Every step may be repeated. The first one records the erasure; after a crash, the person starts it again. The
erasure claims the conversation as a worker does, so no worker holds it meanwhile. The contact becomes a stub under the
claim's fence, so a worker that stood still can write nothing. The tombstone is in the stub's outbox, and whoever claims
the conversation after a crash publishes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from services.analyzer.contact.outbox import Outbox
from services.analyzer.queue.claim_queue import Claim, ClaimQueue
from shared.bus.producer import AIOKafkaProducer, Topics, require_topics
from shared.contract.ids import ConversationKey
from shared.runtime.metrics import AnalyzerMetrics
from shared.runtime.retry import retry_until_stopped
from shared.store.activities import ActivityStore
from shared.store.contact_versions import StoredContact, stub_over
from shared.store.contacts import Contacts
from shared.store.conversation_updates import Timing
from shared.store.conversations import Conversations
from shared.store.erasures import Erasures
from shared.store.messages import MessageStore
from shared.store.mongo import ConnectionFailure, Database

CLAIM_RETRY_SECONDS = 0.1
OWNER = "erasure"


class NothingKnownError(LookupError):
    """There is no such conversation."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased. `version` is that of the tombstone."""

    at: datetime
    messages: int
    activities: int
    version: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """`on_wait` is called once when a worker holds the conversation."""

    database: Database
    queue: ClaimQueue
    outbox: Outbox
    on_wait: Callable[[], None] = lambda: None

    async def erase(self, key: ConversationKey) -> Erased:
        """Return when everything is erased and the tombstone is acknowledged.

        NothingKnownError; LeaseLostError when the process stood still for so long that its lease expired.
        """
        if not await Conversations(self.database).exists(str(key)):
            raise NothingKnownError(str(key))
        at = await Erasures(self.database).remember(str(key))
        claim = await self._claim(key)
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self.queue.renew_until_cancelled(claim))
                erased = await self._erase(claim, at)
                await retry_until_stopped(lambda: self.queue.finish_all([claim]), ConnectionFailure)
                renewing.cancel()
        except ExceptionGroup as errors:  # one of the two has failed, and the other was cancelled
            raise errors.exceptions[0] from None
        finally:
            self.queue.forget_claims([claim])
        return erased

    async def _claim(self, key: ConversationKey) -> Claim:
        """Claim the conversation once nobody holds it. The claim makes it due: a crash leaves it to the workers."""
        has_waited = False
        claim_it = partial(self.queue.claim_these, [str(key)])
        while not (claims := await retry_until_stopped(claim_it, ConnectionFailure)):
            if not has_waited:
                has_waited = True
                self.on_wait()
            await asyncio.sleep(CLAIM_RETRY_SECONDS)
        return claims[0]

    async def _erase(self, claim: Claim, at: datetime) -> Erased:
        key, erasures = claim.contact_id, Erasures(self.database)
        stub = await self._put_stub(claim, at)
        messages = await erasures.erase(key, at)
        activities = await ActivityStore(self.database).erase(key)
        await erasures.erase_requests(key)
        await self.outbox.publish_one(claim, stub.outbox)
        if await MessageStore(self.database).has_any(key):
            await Conversations(self.database).requeue([key])  # for what was said since
        return Erased(at, messages, activities, stub.version)

    async def _put_stub(self, claim: Claim, at: datetime) -> StoredContact:
        """Replace the contact by a stub and return it. Unpublished versions are published first: none may be missing.

        When an edit gets between, the contact is read again.
        """
        contacts = Contacts(self.database)
        while True:
            stored = await contacts.load(claim.contact_id)
            if stored and stored.contact:
                await self.outbox.publish_one(claim, stored.unpublished(may_be_unpublished=claim.may_be_unpublished))
            stub = stub_over(stored, claim.fence)
            if await contacts.put_stub(claim.contact_id, stored, stub, at):
                return stub


async def compose_erasure(
    database: Database,
    producer: AIOKafkaProducer,
    topics: Topics,
    lease_seconds: float,
    timing: Timing,
    on_wait: Callable[[], None] = lambda: None,
) -> Erasure:
    """UnreachableError when the topic of contacts does not exist."""
    await require_topics(producer, topics.contact_updated)
    queue = ClaimQueue(database, OWNER, lease_seconds, timing)
    outbox = Outbox(producer, topics, Contacts(database), ActivityStore(database), AnalyzerMetrics())
    return Erasure(database, queue, outbox, on_wait)
