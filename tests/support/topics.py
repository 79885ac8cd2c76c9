"""Writes events like a producer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from shared.bus.connection import KafkaConnection
from shared.bus.producer import Record, open_producer, publish
from shared.contract.events import Event
from tests.support.models import dump_event, event_headers


async def publish_events(kafka: KafkaConnection, topic: str, events: Iterable[Event]) -> None:
    records = [Record(topic, str(e.conversation).encode(), dump_event(e), event_headers(e)) for e in events]
    async with open_producer(kafka) as producer, asyncio.timeout(60):
        await publish(producer, records)
