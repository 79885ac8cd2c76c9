"""The analyzer through what happens to processes and servers: nothing is lost, nothing is counted twice.

The oracle is the fold of all that was published, not what the analyzer says of itself.
"""

from __future__ import annotations

import asyncio
import random

from shared.conversations import fold_all
from shared.events import Event
from shared.ids import ConversationKey
from shared.mongo import Database
from tests.conftest import Stack, Start
from tests.support.outcome import assert_versions_are_whole, customers, messages, published, settled, story
from tests.support.processes import Leadstream
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
    expected = fold_all(events)
    found = await settled(database, len({message.conversation for message in expected.values()}))
    assert set(found) == {message.conversation for message in expected.values()}
    assert await messages(database) == expected
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
    events = told(customers(60))
    first, second = leadstream("analyzer"), leadstream("analyzer")
    await publish_events(stack.kafka, stack.topics.message_events, events[: len(events) // 2])
    await looked(first, 3)
    first.kill()
    await publish_events(stack.kafka, stack.topics.message_events, events[len(events) // 2 :])
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
