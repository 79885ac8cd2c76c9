"""What every test over real servers stands on."""

from __future__ import annotations

import secrets

from shared.events import load_event
from shared.kafka import read_all
from shared.mongo import Database, server_time
from tests.conftest import Stack
from tests.support.topics import publish_events
from tests.unit.test_contracts import EVENTS


async def test_events_come_back_from_the_topic_as_they_were_sent(stack: Stack) -> None:
    events = [load_event(line) for line in EVENTS]
    await publish_events(stack.kafka, stack.topics.message_events, events)
    records = await read_all(stack.kafka, stack.topics.message_events)
    assert sorted(record.value for record in records) == sorted(EVENTS)
    assert {record.key for record in records} == {str(events[0].conversation).encode()}


async def test_documents_come_back_from_the_database(database: Database) -> None:
    token = secrets.token_hex(4)
    await database.kept.insert_one({"_id": token})
    assert await database.kept.find_one({"_id": token}) == {"_id": token}
    assert (await server_time(database)).tzinfo is not None
