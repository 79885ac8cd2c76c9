"""Contacts a second of due conversations by the fallback scorer, against raw bulk writes of the same documents.

The raw side writes the contact after its versions are published, its activity if it has one, and the changes of its
conversation. It reads, analyses and publishes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import chain, islice

import bson
from pymongo import InsertOne, UpdateMany

from services.analyzer.intake.aggregate import Aggregate
from shared.contract.encoded_events import dump_encoded_event
from shared.contract.events import Event, load_event
from shared.store.conversation_updates import Timing
from shared.store.mongo import Document
from tests.bench.analyzer_events import Traffic
from tests.bench.analyzer_ground import Site, analyzer, rate_of, site, until_empty, watching
from tests.bench.figures import Bench
from tests.bench.ground import Rate, side
from tests.bench.judging import Figure, Measured, at_least
from tests.bench.processes import Handler
from tests.bench.wrk import BenchError

TRAFFIC = Traffic(conversations=20_000, messages=4)
ROUNDS = 2
"""The most rounds, as preparing one takes minutes. There is no warm-up: the process starts cold."""
PREPARE_BATCH_SIZE, WRITE_BATCH_SIZE = 2_000, 500


def backlog(bench: Bench) -> Measured:
    ours, raw = list[Rate](), list[Rate]()
    for number in range(min(bench.rounds, ROUNDS)):
        of_ours, of_raw = (site(bench.servers, bench.folder, f"{name}{number}") for name in ("backlog", "rawlog"))
        due = asyncio.run(prepare(of_ours, TRAFFIC))
        with analyzer(of_ours, quiet_seconds="0") as process:
            ours.append(asyncio.run(_analysed(of_ours, process)))
        raw.append(asyncio.run(_written(due, of_ours, of_raw)))
    sides = side("backlog, contacts a second", ours), side("raw writes of the same", raw)
    return Measured(sides, (Figure("backlog / raw writes", sides[0].median / sides[1].median, at_least(0.5)),))


async def prepare(of: Site, traffic: Traffic) -> list[Document]:
    """Write messages and due conversations as the intake does. Return the conversations."""
    events = _events(traffic)
    async with of.database() as database:
        aggregate = Aggregate(database, Timing(0, 0, 0))
        while chunk := list(islice(events, PREPARE_BATCH_SIZE)):
            await aggregate.apply(chunk)
        return [document async for document in database.conversations.find()]


def _events(traffic: Traffic) -> Iterator[Event]:
    """Yield the events of one conversation after the other."""
    drafts = chain.from_iterable(map(traffic.of_conversation, range(traffic.conversations)))
    return (load_event(dump_encoded_event(draft)) for draft in drafts)


async def _analysed(of: Site, process: Handler) -> Rate:
    """Return the rate of published contacts. BenchError if a conversation has no contact or is still due in the end."""
    async with of.database() as database, watching(of) as watch:
        readings = await watch.until(watch.published, TRAFFIC.conversations, process)
        await until_empty(database)
        await watch.require_published(TRAFFIC.conversations)
        contacts = await database.contacts.count_documents({})
        if contacts != TRAFFIC.conversations:
            raise BenchError(f"there are {contacts} contacts of {TRAFFIC.conversations} conversations")
    return rate_of(readings)


async def _written(due: list[Document], source: Site, target: Site) -> Rate:
    """Write the same documents over the conversations as they were before, and return the rate."""
    async with source.database() as found, target.database() as database:
        contacts, activities, conversations = [
            [document async for document in found[name].find()] for name in ("contacts", "activities", "conversations")
        ]
        for start in range(0, len(due), WRITE_BATCH_SIZE):
            await database.conversations.insert_many(due[start : start + WRITE_BATCH_SIZE])
        done = {document["_id"]: document for document in conversations}
        changes = [(before["_id"], change_of(before, done[before["_id"]])) for before in due]
        began, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(due), WRITE_BATCH_SIZE):
            at_once = slice(start, start + WRITE_BATCH_SIZE)
            await database.contacts.bulk_write([InsertOne(each) for each in contacts[at_once]], ordered=False)
            if activities[at_once]:
                await database.activities.bulk_write([InsertOne(each) for each in activities[at_once]], ordered=False)
            await database.conversations.bulk_write(grouped(changes[at_once]), ordered=False)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Rate(len(contacts) / seconds, cpu * 1e6 / len(contacts))


def change_of(before: Document, after: Document) -> Document:
    """Return the update that turns `before` into `after`. Pure."""
    changed = {name: value for name, value in after.items() if name not in before or before[name] != value}
    removed = {name: "" for name in before if name not in after}
    parts = {"$set": changed, "$unset": removed}
    return {name: part for name, part in parts.items() if part}


def grouped(changes: list[tuple[str, Document]]) -> list[UpdateMany]:
    """Return one update for all conversations with the same change, which is the fastest way. Pure."""
    alike: dict[bytes, tuple[Document, list[str]]] = {}
    for conversation, change in changes:
        alike.setdefault(bson.encode(change), (change, []))[1].append(conversation)
    return [UpdateMany({"_id": {"$in": ids}}, change) for change, ids in alike.values()]
