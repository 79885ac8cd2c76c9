"""Erasing a customer on behalf of another service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from services.analyzer.app import timing_of
from services.analyzer.erasure.erasure import compose_erasure
from services.analyzer.queue.claim_queue import LeaseLostError
from shared.bus.producer import AIOKafkaProducer, Topics
from shared.contract.ids import ConversationKey
from shared.runtime.settings import AnalyzerSettings
from shared.store.mongo import Database

ERASE_TIMEOUT_SECONDS = 30.0


def customer_eraser(
    settings: AnalyzerSettings,
) -> Callable[[Database, AIOKafkaProducer, ConversationKey], Awaitable[int]]:
    """Return a function that erases a customer and returns the version of the tombstone.

    It raises LookupError when nothing is known of the customer, and RuntimeError when a worker holds the conversation
    for too long or claims it meanwhile.
    """
    topics, timing = Topics(settings.topic_prefix), timing_of(settings)

    async def erase_customer(database: Database, producer: AIOKafkaProducer, key: ConversationKey) -> int:
        erasure = await compose_erasure(database, producer, topics, settings.lease_seconds, timing)
        try:
            async with asyncio.timeout(ERASE_TIMEOUT_SECONDS):
                return (await erasure.erase(key)).version
        except TimeoutError:
            raise RuntimeError("A worker is still at this conversation: try again in a moment.") from None
        except LeaseLostError:
            raise RuntimeError("A worker claimed this conversation meanwhile: try again.") from None

    return erase_customer
