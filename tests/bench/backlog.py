"""Conversations that are due: contacts a second by the fallback scorer, against raw bulk writes of what that wrote.

Raw are: the contact as a document (with its versions published and gone), its activity if it has one, and what its
conversation says behind it instead of before. Nothing is read, analysed or published for it.
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
"""At the most: one takes minutes, of which most go into preparing it. None before them: a process starts cold."""
PREPARED_AT_ONCE, WRITTEN_AT_ONCE = 2_000, 500


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
    """Messages and conversations as the intake leaves them, all due. The latter."""
    events = _events(traffic)
    async with of.database() as database:
        aggregate = Aggregate(database, Timing(0, 0, 0))
        while chunk := list(islice(events, PREPARED_AT_ONCE)):
            await aggregate.apply(chunk)
        return [document async for document in database.conversations.find()]


def _events(traffic: Traffic) -> Iterator[Event]:
    """A conversation after the other."""
    drafts = chain.from_iterable(map(traffic.of_conversation, range(traffic.conversations)))
    return (load_event(dump_encoded_event(draft)) for draft in drafts)


async def _analysed(of: Site, process: Handler) -> Rate:
    """By what is on `contact-updated`. BenchError when in the end one conversation has no contact, or is still due."""
    async with of.database() as database, watching(of) as watch:
        readings = await watch.until(watch.published, TRAFFIC.conversations, process)
        await until_empty(database)
        await watch.require_published(TRAFFIC.conversations)
        contacts = await database.contacts.count_documents({})
        if contacts != TRAFFIC.conversations:
            raise BenchError(f"there are {contacts} contacts of {TRAFFIC.conversations} conversations")
    return rate_of(readings)


async def _written(due: list[Document], source: Site, target: Site) -> Rate:
    """The same documents once more, onto conversations as they were before."""
    async with source.database() as found, target.database() as database:
        contacts, activities, conversations = [
            [document async for document in found[name].find()] for name in ("contacts", "activities", "conversations")
        ]
        for start in range(0, len(due), WRITTEN_AT_ONCE):
            await database.conversations.insert_many(due[start : start + WRITTEN_AT_ONCE])
        done = {document["_id"]: document for document in conversations}
        changes = [(before["_id"], change_of(before, done[before["_id"]])) for before in due]
        began, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(due), WRITTEN_AT_ONCE):
            at_once = slice(start, start + WRITTEN_AT_ONCE)
            await database.contacts.bulk_write([InsertOne(each) for each in contacts[at_once]], ordered=False)
            if activities[at_once]:
                await database.activities.bulk_write([InsertOne(each) for each in activities[at_once]], ordered=False)
            await database.conversations.bulk_write(grouped(changes[at_once]), ordered=False)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Rate(len(contacts) / seconds, cpu * 1e6 / len(contacts))


def change_of(before: Document, after: Document) -> Document:
    """What makes the one document of the other: only what differs. Pure."""
    changed = {name: value for name, value in after.items() if name not in before or before[name] != value}
    removed = {name: "" for name in before if name not in after}
    parts = {"$set": changed, "$unset": removed}
    return {name: part for name, part in parts.items() if part}


def grouped(changes: list[tuple[str, Document]]) -> list[UpdateMany]:
    """One update for all that change alike: by far the fastest that there is. Pure."""
    alike: dict[bytes, tuple[Document, list[str]]] = {}
    for conversation, change in changes:
        alike.setdefault(bson.encode(change), (change, []))[1].append(conversation)
    return [UpdateMany({"_id": {"$in": ids}}, change) for change, ids in alike.values()]
