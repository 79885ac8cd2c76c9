"""The raw loop that the aggregate is measured against: poll, parse, write what the intake had written, commit.

`python -m tests.bench.raw_aggregate WRITTEN_URL` with the analyzer's settings. The documents are those of the database
at WRITTEN_URL, to the byte, one of each in a bulk, inserted when they are new and replaced or updated later: it is told
what becomes of the events, and which it has seen, and need not find out.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import uvloop
from pymongo import InsertOne

from services.analyzer.app import GROUP
from services.analyzer.intake import BATCH_RECORDS, POLL_MS
from shared.kafka import Topics, open_consumer
from shared.mongo import Collection, Document, ReplaceOne, UpdateOne, open_database
from shared.settings import AnalyzerSettings

NEVER = timedelta(days=10)
Write = InsertOne[Document] | ReplaceOne[Document] | UpdateOne


async def run(settings: AnalyzerSettings, written_url: str) -> None:
    """Until it is killed."""
    async with open_database(written_url) as source:
        documents = {name: await _all(source[name]) for name in ("messages", "conversations")}
    topics, seen = Topics(settings.topic_prefix), set[str]()
    async with (
        open_database(settings.mongo_url.get_secret_value()) as database,
        open_consumer(settings.kafka_bootstrap_servers, topics.message_events, f"{topics.prefix}{GROUP}") as consumer,
    ):
        while True:
            polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
            if polled:
                events = [orjson.loads(record.value) for batch in polled.values() for record in batch]
                messages = _messages(events, documents["messages"], seen)
                await database.messages.bulk_write(messages, ordered=False)
                conversations = _conversations(events, documents["conversations"], seen)
                await database.conversations.bulk_write(conversations, ordered=False)
                await consumer.commit({partition: batch[-1].offset + 1 for partition, batch in polled.items()})


async def _all(collection: Collection) -> dict[str, Document]:
    return {document["_id"]: document async for document in collection.find()}


def _messages(events: list[dict[str, Any]], documents: dict[str, Document], seen: set[str]) -> list[Write]:
    ids = {event["message_id"] for event in events}
    writes: list[Write] = [
        ReplaceOne({"_id": each}, documents[each]) if each in seen else InsertOne(documents[each]) for each in ids
    ]
    seen |= ids
    return writes


def _conversations(events: list[dict[str, Any]], documents: dict[str, Document], seen: set[str]) -> list[Write]:
    """Of one that is there, what an event moves."""
    ids = {f"{event['platform']}:{event['account_id']}:{event['customer_id']}" for event in events}
    now = datetime.now(UTC)
    moved = {"$set": {"last_event_at": now, "due_at": now + NEVER}, "$inc": {"revision": 1}}
    writes: list[Write] = [
        UpdateOne({"_id": each}, moved) if each in seen else InsertOne(documents[each]) for each in ids
    ]
    seen |= ids
    return writes


if __name__ == "__main__":
    uvloop.run(run(AnalyzerSettings(), sys.argv[1]))
