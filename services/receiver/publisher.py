"""From a batch to acknowledged records."""

from __future__ import annotations

import asyncio
import secrets
from typing import Protocol

from services.receiver.normalise import Batch
from shared.deadletters import dead_letter_headers, dump_dead_letter
from shared.events import dump_event, event_headers
from shared.kafka import AIOKafkaProducer, KafkaError, Record, Topics, publish


class Publisher(Protocol):
    async def publish(self, batch: Batch, traceparent: str | None) -> None:
        """Returns when all of `batch` is safe. TimeoutError or KafkaError when it may not be."""
        ...

    async def is_writable(self) -> bool: ...


class KafkaPublisher:
    def __init__(self, producer: AIOKafkaProducer, topics: Topics, timeout_seconds: float) -> None:
        self._producer = producer
        self._topics = topics
        self._timeout_seconds = timeout_seconds

    async def publish(self, batch: Batch, traceparent: str | None) -> None:
        """Returns when every event and dead letter is acknowledged.

        TimeoutError when that takes longer than the limit. What was sent may still arrive then, and again when
        Facebook repeats the webhook: its ids are the same.
        """
        async with asyncio.timeout(self._timeout_seconds):
            await publish(self._producer, self._records(batch, traceparent or new_traceparent()))

    async def is_writable(self) -> bool:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._producer.partitions_for(self._topics.message_events)
        except (TimeoutError, KafkaError):
            return False
        return True

    def _records(self, batch: Batch, traceparent: str) -> list[Record]:
        topics = self._topics
        events = [
            Record(
                topics.message_events,
                str(event.conversation).encode(),
                dump_event(event),
                event_headers(event, traceparent),
            )
            for event in batch.events
        ]
        letters = [
            Record(
                topics.dead_letters, letter.letter_id.encode(), dump_dead_letter(letter), dead_letter_headers(letter)
            )
            for letter in batch.letters
        ]
        return events + letters


def new_traceparent() -> str:
    """W3C trace context, version 00, sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
