"""The analyzer through what happens to processes and servers: nothing is lost, nothing is counted twice.

The oracle is the fold of all that was published, not what the analyzer says of itself.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from shared.contract.events import Event
from shared.contract.ids import ConversationKey
from shared.store.mongo import Database
from tests.conftest import Stack, Start
from tests.support.making import MARIA
from tests.support.outcome import assert_versions_are_whole, customers, published, settled, story
from tests.support.processes import Leadstream
from tests.support.servers import run_script
from tests.support.topics import publish_events
from tests.support.waiting import eventually


def told(everyone: list[ConversationKey]) -> list[Event]:
    """All conversations at once, interleaved and with repetitions, the same each time."""
    chance = random.Random(7)
    events = [event for who in everyone for event in story(who)]
    events += chance.choices(events, k=len(events))
    chance.shuffle(events)
    return events


async def assert_nothing_is_missing(stack: Stack, database: Database, events: list[Event]) -> None:
    found = await settled(database, events)
    assert_versions_are_whole(await published(stack), found)


async def looked(process: Leadstream, number: int) -> None:
    """Returns when it has looked at `number` conversations."""

    async def read() -> int:
        assert process.process.poll() is None, process.output
        return process.output.count("conversation_analysed")

    await eventually(read, lambda count: count >= number)


async def test_kill_9_in_the_middle_of_everything(stack: Stack, database: Database, leadstream: Start) -> None:
    events = told(customers(60))
    await publish_events(stack.kafka, stack.topics.message_events, events)
    for number in (1, 5, 40):
        process = leadstream("analyzer")
        await looked(process, number)
        process.kill()
        await publish_events(stack.kafka, stack.topics.message_events, events[: 50 * number])
    leadstream("analyzer")
    await assert_nothing_is_missing(stack, database, events)


async def test_kill_9_of_one_of_two(stack: Stack, database: Database, leadstream: Start) -> None:
    if stack.servers.kind == "embedded":
        pytest.skip("the mock broker answers a second member of a group with InvalidRequest now and then")
    events = told(customers(60))
    await publish_events(stack.kafka, stack.topics.message_events, events[: len(events) // 2])
    first = leadstream("analyzer")
    await looked(first, 3)
    second = leadstream("analyzer")
    await asyncio.to_thread(second.wait_for, "analyzer_started")
    await publish_events(stack.kafka, stack.topics.message_events, events[len(events) // 2 :])
    first.kill()
    await assert_nothing_is_missing(stack, database, events)
    assert second.terminate() == 0


async def test_the_broker_goes_away_and_comes_back(stack: Stack, database: Database, leadstream: Start) -> None:
    events = told(customers(40))
    process = leadstream("analyzer")
    await publish_events(stack.kafka, stack.topics.message_events, events[:200])
    await looked(process, 3)
    await asyncio.to_thread(stack.servers.restart_kafka)
    await publish_events(stack.kafka, stack.topics.message_events, events[200:])
    await assert_nothing_is_missing(stack, database, events)
    assert process.terminate() == 0


async def test_sigterm_while_the_broker_is_away(stack: Stack, database: Database, leadstream: Start) -> None:
    events = told(customers(40))
    process = leadstream("analyzer")
    await publish_events(stack.kafka, stack.topics.message_events, events)
    await looked(process, 3)
    await asyncio.to_thread(stack.servers.stop_kafka)
    try:
        assert process.terminate(10) == 0
    finally:
        await asyncio.to_thread(stack.servers.start_kafka)
    leadstream("analyzer")
    await assert_nothing_is_missing(stack, database, events)


async def test_sigterm_during_a_model_call(stack: Stack, database: Database, leadstream: Start) -> None:
    asked = asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    model = await asyncio.start_server(never_answers, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{model.sockets[0].getsockname()[1]}"
    settings = {"LEADSTREAM_GEMINI_API_KEYS": "key", "LEADSTREAM_GEMINI_ENDPOINT": address}
    process = leadstream(
        "analyzer", LEADSTREAM_LEASE_SECONDS="600", LEADSTREAM_GEMINI_DEADLINE_SECONDS="60", **settings
    )
    await publish_events(stack.kafka, stack.topics.message_events, story(MARIA))
    async with asyncio.timeout(60):
        await asked.wait()
    try:
        assert await asyncio.to_thread(process.terminate, 10) == 0
    finally:
        model.close()
    leadstream("analyzer")
    await assert_nothing_is_missing(stack, database, story(MARIA))


async def test_the_database_goes_away_and_comes_back(stack: Stack, database: Database, leadstream: Start) -> None:
    if stack.servers.folder is None:
        pytest.skip("only the local servers can be taken away one by one")
    events = told(customers(40))
    process = leadstream("analyzer")
    await publish_events(stack.kafka, stack.topics.message_events, events[:200])
    await looked(process, 3)
    mongo = ("--only", "mongo", "--dir", str(stack.servers.folder))
    await asyncio.to_thread(run_script, "down", *mongo)
    await publish_events(stack.kafka, stack.topics.message_events, events[200:])
    await asyncio.to_thread(process.wait_for, "server_away")
    await asyncio.to_thread(run_script, "up", *mongo)
    await assert_nothing_is_missing(stack, database, events)
    assert process.terminate(10) == 0


async def test_sigterm_while_the_database_is_away(stack: Stack, database: Database, leadstream: Start) -> None:
    if stack.servers.folder is None:
        pytest.skip("only the local servers can be taken away one by one")
    events = told(customers(40))
    process = leadstream("analyzer")
    await publish_events(stack.kafka, stack.topics.message_events, events)
    await looked(process, 3)
    mongo = ("--only", "mongo", "--dir", str(stack.servers.folder))
    await asyncio.to_thread(run_script, "down", *mongo)
    try:
        assert process.terminate(10) in {0, 1}
    finally:
        await asyncio.to_thread(run_script, "up", *mongo)
    leadstream("analyzer")
    await assert_nothing_is_missing(stack, database, events)
