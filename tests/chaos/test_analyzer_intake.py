"""The intake through kills and servers that go away: what is on the topic is in the store, whatever happens.

The oracle is the fold of all that was published.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.events import Event
from shared.mongo import Database
from tests.conftest import Stack
from tests.support.dying_intake import STEPS
from tests.support.intakes import JUNK, Intakes, intakes
from tests.support.making import completed, listed
from tests.support.outcome import customers, story


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
    await group.tell(events, JUNK)
    dying = group.start(step, 2, LEADSTREAM_TEST_INSTANCE="one")
    assert await asyncio.to_thread(dying.wait) == -9
    assert f"dies at {step}" in dying.output
    group.start(LEADSTREAM_TEST_INSTANCE="one")
    await group.all_is_committed()
    await group.assert_all_is_stored(database, events, JUNK)
