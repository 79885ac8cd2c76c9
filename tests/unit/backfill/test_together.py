"""What waits is written by one command, and each who waits hears how it went."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pymongo.errors import AutoReconnect, BulkWriteError

from services.backfill.crawl.write_coalescer import Together
from shared.store.mongo import DUPLICATE_KEY, Collection, ConnectionFailure, UpdateOne


@dataclass
class FakeCollection:
    """Each command waits for `go`, and fails with the next of `errors`, where there is one."""

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


async def begun(collection: FakeCollection, *updates: UpdateOne) -> tuple[Together, list[asyncio.Task[None]]]:
    """The first alone under way, the others waiting."""
    together = Together(cast("Collection", collection))
    tasks = [asyncio.create_task(together.write(each)) for each in updates[:1]]
    while not collection.commands:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(together.write(each)) for each in updates[1:]]
    await asyncio.sleep(0)
    return together, tasks


async def test_what_comes_while_one_is_under_way_goes_by_the_next_all_at_once() -> None:
    collection = FakeCollection()
    together, tasks = await begun(collection, A, B, C)
    assert not any(task.done() for task in tasks)
    collection.go.set()
    await asyncio.gather(*tasks)
    await together.write(D)
    assert collection.commands == [[A], [B, C], [D]]


async def test_a_failure_is_told_to_those_it_concerns_and_to_no_other() -> None:
    collection = FakeCollection(errors=[AutoReconnect("away")])
    _, tasks = await begun(collection, A, B, C)
    collection.go.set()
    await asyncio.wait(tasks)
    assert isinstance(tasks[0].exception(), ConnectionFailure)
    assert [task.exception() for task in tasks[1:]] == [None, None]


async def test_what_another_writer_has_inserted_meanwhile_is_updated() -> None:
    taken = BulkWriteError({"writeErrors": [{"index": 0, "code": DUPLICATE_KEY}]})
    collection = FakeCollection(errors=[taken])
    collection.go.set()
    await Together(cast("Collection", collection)).write(A)
    assert collection.commands == [[A], [A]]


async def test_what_is_given_up_before_its_turn_is_not_written_and_costs_the_others_nothing() -> None:
    collection = FakeCollection()
    together, tasks = await begun(collection, A, B, C)
    for task in tasks[:2]:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    collection.go.set()
    await tasks[2]
    await together.write(D)
    assert collection.commands == [[A], [C], [D]], "what had not begun nobody wants any more"
