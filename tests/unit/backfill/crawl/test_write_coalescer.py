"""Updates that wait are written by one command, and each caller learns how it went."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pymongo.errors import AutoReconnect, BulkWriteError

from services.backfill.crawl.write_coalescer import WriteCoalescer
from shared.store.mongo import DUPLICATE_KEY, Collection, ConnectionFailure, UpdateOne, write_all


@dataclass
class FakeCollection:
    """Each command waits for `go`, then fails with the next of `errors`, if any."""

    name: str = "conversations"
    go: asyncio.Event = field(default_factory=asyncio.Event)
    errors: list[Exception] = field(default_factory=list)
    commands: list[list[UpdateOne]] = field(default_factory=list)

    async def bulk_write(self, writes: list[UpdateOne], *, ordered: bool) -> Any:
        assert not ordered
        self.commands.append(writes)
        await self.go.wait()
        if self.errors:
            raise self.errors.pop(0)
        return SimpleNamespace(matched_count=len(writes), upserted_count=0)


def update(key: str) -> UpdateOne:
    return UpdateOne({"_id": key}, {"$set": {"read": True}}, upsert=True)


A, B, C, D = map(update, "abcd")


async def started(collection: FakeCollection, *updates: UpdateOne) -> tuple[WriteCoalescer, list[asyncio.Task[None]]]:
    """The first update is in flight by itself, the others wait."""
    coalescer = WriteCoalescer(partial(write_all, cast("Collection", collection)))
    tasks = [asyncio.create_task(coalescer.write(each)) for each in updates[:1]]
    while not collection.commands:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(coalescer.write(each)) for each in updates[1:]]
    await asyncio.sleep(0)
    return coalescer, tasks


async def test_updates_that_arrive_during_a_command_share_the_next_one() -> None:
    collection = FakeCollection()
    coalescer, tasks = await started(collection, A, B, C)
    assert not any(task.done() for task in tasks)
    collection.go.set()
    await asyncio.gather(*tasks)
    await coalescer.write(D)
    assert collection.commands == [[A], [B, C], [D]]


async def test_a_failure_reaches_the_callers_of_its_command_only() -> None:
    collection = FakeCollection(errors=[AutoReconnect("away")])
    _, tasks = await started(collection, A, B, C)
    collection.go.set()
    await asyncio.wait(tasks)
    assert isinstance(tasks[0].exception(), ConnectionFailure)
    assert [task.exception() for task in tasks[1:]] == [None, None]


async def test_a_document_that_another_writer_just_inserted_is_updated() -> None:
    taken = BulkWriteError({"writeErrors": [{"index": 0, "code": DUPLICATE_KEY}]})
    collection = FakeCollection(errors=[taken])
    collection.go.set()
    await WriteCoalescer(partial(write_all, cast("Collection", collection))).write(A)
    assert collection.commands == [[A], [A]]


async def test_a_cancelled_update_is_not_written_and_the_others_are() -> None:
    collection = FakeCollection()
    coalescer, tasks = await started(collection, A, B, C)
    for task in tasks[:2]:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    collection.go.set()
    await tasks[2]
    await coalescer.write(D)
    assert collection.commands == [[A], [C], [D]], "B was cancelled before its command started"
