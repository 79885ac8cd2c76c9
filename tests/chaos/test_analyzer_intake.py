"""The intake through kills and servers that go away: what is on the topic is in the store, whatever happens.

The oracle is the fold of all that was published.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.bus.topic_needs import MAX_DEAD_LETTER_BYTES
from shared.contract.events import Event
from shared.store.mongo import Database
from tests.conftest import Stack
from tests.support.dying_intake import STEPS
from tests.support.intakes import JUNK, Intakes, intakes
from tests.support.making import completed, listed
from tests.support.outcome import customers, story
from tests.support.servers import run_script


@pytest.fixture
def group(stack: Stack, tmp_path: Path) -> Iterator[Intakes]:
    with intakes(stack, tmp_path) as started:
        yield started


def told(number: int) -> list[Event]:
    """Webhook and backfill of several conversations, interleaved and with repetitions, the same each time."""
    chance = random.Random(7)
    events = [event for who in customers(number) for event in [listed(0, who=who), *story(who), completed(90, who=who)]]
    events += chance.choices(events, k=len(events) // 2)
    chance.shuffle(events)
    return events


@pytest.mark.parametrize("step", STEPS)
async def test_kill_9_at_any_step_loses_nothing(step: str, group: Intakes, database: Database) -> None:
    events = told(8)
    await group.publish(events, JUNK)
    dying = group.start(step, 2, LEADSTREAM_TEST_INSTANCE="one")
    assert await asyncio.to_thread(dying.wait) == -9
    assert f"dies at {step}" in dying.output
    group.start(LEADSTREAM_TEST_INSTANCE="one")
    await group.all_is_committed()
    await group.assert_all_is_stored(database, events, JUNK)


async def test_the_database_is_killed_in_the_middle_of_a_batch(
    group: Intakes, stack: Stack, database: Database
) -> None:
    if stack.servers.folder is None:
        pytest.skip("only the local servers can be taken away one by one")
    events = told(20)
    await group.publish(events[:100])
    process = group.start()
    await group.some_is_committed()
    await group.publish(events[100:])
    os.kill(int((stack.servers.folder / "mongo.pid").read_text().split()[0]), signal.SIGKILL)
    await asyncio.to_thread(process.wait_for, "server_away")
    away = await group.members()
    await asyncio.to_thread(run_script, "up", "--only", "mongo", "--dir", str(stack.servers.folder))
    await group.all_is_committed()
    await group.assert_all_is_stored(database, events)
    assert len(away) == 1
    assert await group.members() == away, "it stayed in its group all the while"
    assert await asyncio.to_thread(process.terminate) == 0


async def test_a_dead_letter_queue_that_accepts_nothing_stops_the_commit(
    group: Intakes, stack: Stack, database: Database
) -> None:
    if stack.servers.kind == "embedded":
        pytest.skip("the mock broker has no limits of topics")
    events = told(4)
    await limit_records(stack, "50")
    await group.publish(events, JUNK)
    process = group.start()
    await asyncio.to_thread(process.wait_for, "MessageSizeTooLarge")
    assert await group.is_behind()
    await limit_records(stack, str(MAX_DEAD_LETTER_BYTES))
    await group.all_is_committed()
    await group.assert_all_is_stored(database, events, JUNK)


async def limit_records(stack: Stack, size: str) -> None:
    """What the DLQ takes at most, in bytes."""
    admin = AIOKafkaAdminClient(**stack.kafka.options)
    await admin.start()
    try:
        topic = ConfigResource(ConfigResourceType.TOPIC, stack.topics.dead_letters, {"max.message.bytes": size})
        answer: Any = (await admin.alter_configs([topic]))[0]
    finally:
        await admin.close()
    assert answer.resources[0][0] == 0, answer
