"""The analyzer killed, or stopped, at named points between a claim and its end: nothing is lost, nothing told twice.

The oracle is the fold of all that was published, not what the analyzer says of itself.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.analyzer.intake.aggregate import Aggregate
from shared.contract.events import Event
from shared.store.conversation_updates import Timing
from shared.store.mongo import Database
from tests.conftest import Stack, Start
from tests.support.dying_analyzer import STEPS
from tests.support.making import said, unsent
from tests.support.outcome import assert_versions_are_whole, contacts, customers, published, settled, story
from tests.support.programs import Program, ended
from tests.support.topics import publish_events
from tests.support.waiting import eventually

SHORT_LEASE = {"LEADSTREAM_LEASE_SECONDS": "1"}
Dying = Callable[..., Program]


@pytest.fixture
def dying(stack: Stack, tmp_path: Path) -> Iterator[Dying]:
    """Starts an analyzer that kills or stops itself; whatever still runs at the end is killed."""
    started: list[Program] = []

    def begin(*arguments: str, **settings: str) -> Program:
        module = ("tests.support.dying_analyzer", *arguments)
        log = tmp_path / f"{len(started)}-dying.log"
        started.append(Program(module, {**stack.env, **SHORT_LEASE, **settings}, log))
        return started[-1]

    with ended(started):
        yield begin


async def said_by(process: Program) -> str:
    return process.output


async def test_kill_9_at_every_step_one_after_the_other(
    stack: Stack, database: Database, leadstream: Start, dying: Dying
) -> None:
    """Each finds what the one before it has left, and fresh work. The broker knows all of them as one member, so that
    none has to wait until the one before it is missed."""
    one = {"LEADSTREAM_ANALYZER_INSTANCE": "one"}
    events: list[Event] = []
    for number, step in enumerate(STEPS):
        new = [event for who in customers(10 * (number + 1))[10 * number :] for event in story(who)]
        events += new
        await publish_events(stack.kafka, stack.topics.message_events, new)
        process = dying(step, "2", **one)
        assert await asyncio.to_thread(process.wait) == -9
        assert f"dies at {step}" in process.output
    leadstream("analyzer", **SHORT_LEASE, **one)
    found = await settled(database, events)
    assert_versions_are_whole(await published(stack), found)


@pytest.mark.parametrize("step", ["claimed", "recording", "publishing", "published"])
async def test_a_worker_that_wakes_after_its_lease_publishes_nothing_wrong(
    step: str, stack: Stack, database: Database, leadstream: Start, dying: Dying
) -> None:
    """While it stood still, another has gone on, from more than it has read."""
    everyone = customers(5)
    events = [event for who in everyone for event in story(who)]
    await publish_events(stack.kafka, stack.topics.message_events, events)
    stale = dying(step, "1", "stop")
    await asyncio.to_thread(stale.wait_for, f"stops at {step}")
    for who in everyone:
        mid = f"m_{who.customer_id}_later"
        events.append(said("Never mind, too expensive", 70, mid=mid, who=who))
        events.append(unsent(f"m_{who.customer_id}_5", 80, who=who))
    await Aggregate(database, Timing(0, 0, 0)).apply(events)
    leadstream("analyzer", **SHORT_LEASE)
    found = await settled(database, events)
    stale.process.send_signal(signal.SIGCONT)
    await eventually(lambda: said_by(stale), lambda said: "lease_lost" in said or "conversation_analysed" in said)
    assert await asyncio.to_thread(stale.terminate) == 0
    assert await contacts(database) == found
    assert_versions_are_whole(await published(stack), found)
