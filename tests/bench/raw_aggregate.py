"""The raw loop that the intake is compared with: poll, parse, write what the intake wrote, commit.

`python -m tests.bench.raw_aggregate WRITTEN_URL` with the analyzer's settings. Every document of the database at
WRITTEN_URL is written exactly as it is there: inserted when it is new, else replaced or updated, as the intake
does. The loop knows the results in advance and needs no reads.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import uvloop
from pymongo import InsertOne, UpdateMany

from services.analyzer.app import CONSUMER_GROUP
from services.analyzer.intake.event_intake import BATCH_RECORDS, POLL_MS
from shared.bus.connection import kafka_connection
from shared.bus.consumer import open_consumer
from shared.bus.producer import Topics
from shared.runtime.settings import AnalyzerSettings
from shared.store.mongo import Collection, Document, ReplaceOne, open_database

NEVER = timedelta(days=10)
Events = list[dict[str, Any]]
Documents = dict[str, Document]


async def run(settings: AnalyzerSettings, written_url: str) -> None:
    """Run until killed."""
    async with open_database(written_url) as source:
        documents = {name: await _all(source[name]) for name in ("messages", "conversations")}
    topics, seen = Topics(settings.topic_prefix), set[str]()
    async with (
        open_database(settings.mongo_url.get_secret_value()) as database,
        open_consumer(
            kafka_connection(settings), topics.message_events, f"{topics.prefix}{CONSUMER_GROUP}"
        ) as consumer,
    ):
        while True:
            polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
            if polled:
                events = [orjson.loads(record.value) for batch in polled.values() for record in batch]
                await _write_messages(database.messages, events, documents["messages"], seen)
                await _write_conversations(database.conversations, events, documents["conversations"], seen)
                await consumer.commit({partition: batch[-1].offset + 1 for partition, batch in polled.items()})


async def _all(collection: Collection) -> Documents:
    return {document["_id"]: document async for document in collection.find()}


async def _write_messages(collection: Collection, events: Events, documents: Documents, seen: set[str]) -> None:
    ids = {event["message_id"] for event in events}
    writes = [
        ReplaceOne({"_id": each}, documents[each]) if each in seen else InsertOne(documents[each]) for each in ids
    ]
    await collection.bulk_write(writes, ordered=False)
    seen |= ids


async def _write_conversations(collection: Collection, events: Events, documents: Documents, seen: set[str]) -> None:
    """Update the existing conversations in one call, as a bulk of updates would take ten times as long."""
    ids = {f"{event['platform']}:{event['account_id']}:{event['customer_id']}" for event in events}
    writes: list[InsertOne[Document] | UpdateMany] = [InsertOne(documents[each]) for each in ids - seen]
    if known := list(ids & seen):
        now = datetime.now(UTC)
        moved = {"$set": {"last_event_at": now, "due_at": now + NEVER}, "$inc": {"revision": 1}}
        writes.append(UpdateMany({"_id": {"$in": known}}, moved))
    await collection.bulk_write(writes, ordered=False)
    seen |= ids


if __name__ == "__main__":
    uvloop.run(run(AnalyzerSettings(), sys.argv[1]))
