"""Forgetting as another service has it done, over what that has opened."""

from __future__ import annotations

import asyncio

from services.analyzer.app import timing_of
from services.analyzer.contact.outbox import Outbox
from services.analyzer.erasure.erasure import Erasure
from services.analyzer.queue.claim_queue import ClaimQueue, LeaseLostError
from shared.bus.producer import AIOKafkaProducer, Topics, require_topics
from shared.contract.ids import ConversationKey
from shared.runtime.metrics import AnalyzerMetrics
from shared.runtime.settings import AnalyzerSettings
from shared.store.contacts import Contacts
from shared.store.mongo import Database

OWNER = "forgetting"
MAX_PAUSE_SECONDS = 30.0


async def forget_customer(database: Database, producer: AIOKafkaProducer, key: ConversationKey) -> int:
    """The version of the tombstone. LookupError when nothing is known of them; RuntimeError when a worker has the
    conversation for too long, or goes beyond this."""
    settings = AnalyzerSettings()
    topics = Topics(settings.topic_prefix)
    await require_topics(producer, topics.contact_updated)
    queue = ClaimQueue(database, OWNER, settings.lease_seconds, timing_of(settings))
    outbox = Outbox(producer, topics, Contacts(database.contacts), database.activities, AnalyzerMetrics())
    try:
        async with asyncio.timeout(MAX_PAUSE_SECONDS):
            return (await Erasure(database, queue, outbox).forget(key)).version
    except TimeoutError:
        raise RuntimeError("A worker is still at this conversation: try again in a moment.") from None
    except ExceptionGroup as errors:
        if errors.subgroup(LeaseLostError) is None:
            raise
        raise RuntimeError("A worker went on with this conversation: try again.") from None
