"""kill -9 of a worker at every step of a run: another finishes it, all is on the topic, and little is there twice.

Each worker of the test dies by its own hand at one named step (`tests.support.dying_backfill`), in the run of an
account of its own; then one ordinary worker takes all of them over. The oracle is the simulator's set of message ids.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from services.backfill.app import READERS_PER_CALL
from shared.contract.events import ConversationCompletedEvent
from shared.domain.runs import ACTIVE_STATES, RunState
from shared.store.mongo import Database
from shared.store.runs import RunStore
from tests.conftest import Stack, Start
from tests.support.backfilling import Facebook, mids, repeated
from tests.support.programs import Program, ended
from tests.support.waiting import eventually

PAGE_SIZE, PARALLELISM = 15, 4
PASSINGS = {
    "reading": 1,  # before the first page
    "published": 20,  # between a page's publish and its checkpoint
    "checkpointed": 12,  # between a checkpoint and the next page
    "remembering": 9,
    "ending": 1,
    "ended": 1,
}
"""At which passing of each step its worker dies."""


@pytest.fixture
def facebook(simulator: dict[str, Any], stack: Stack, database: Database) -> Facebook:
    return Facebook(simulator, stack, database)


async def test_a_kill_at_any_step_loses_nothing_and_repeats_at_most_a_page_of_each_conversation_in_flight(
    facebook: Facebook, leadstream: Start, tmp_path: Path
) -> None:
    settings = facebook.stack.env | facebook.env | {
        "LEADSTREAM_BACKFILL_PAGE_SIZE": str(PAGE_SIZE),
        "LEADSTREAM_BACKFILL_PARALLELISM": str(PARALLELISM),
        "LEADSTREAM_BACKFILL_ACCOUNTS": "1",
    }  # fmt: skip
    accounts = await facebook.add_pages(*PASSINGS)
    programs: list[Program] = []
    gate = tmp_path / "gate"
    with ended(programs):
        for account, (step, passing) in zip(accounts, PASSINGS.items(), strict=True):
            run = await RunStore(facebook.database).enqueue(account)
            module = ("tests.support.dying_backfill", step, str(passing), str(gate))
            programs.append(Program(module, settings, tmp_path / f"{step}.log"))
            programs[-1].wait_for(run.run_id)  # it is claimed, so that the next is the next one's
        gate.touch()
        for step, program in zip(PASSINGS, programs, strict=True):
            assert program.wait() == -signal.SIGKILL, program.output
            assert f"dies at {step}" in program.lines()
    states = {run.account_id: run.state for run in await facebook.runs()}
    assert states == dict.fromkeys(PASSINGS, RunState.RUNNING) | {"ended": RunState.COMPLETED}
    leadstream("backfill", "worker", env=settings | {"LEADSTREAM_BACKFILL_ACCOUNTS": "9"})
    runs = await eventually(facebook.runs, lambda runs: not any(run.state in ACTIVE_STATES for run in runs))
    assert {run.account_id: run.state for run in runs} == dict.fromkeys(PASSINGS, RunState.COMPLETED)
    readable = await facebook.readable()
    everything = await facebook.events()
    for run in runs:
        events = [event for event in everything if event.account_id == run.account_id]
        assert mids(events) == readable, run.account_id
        again = repeated(events)
        assert len(again) <= READERS_PER_CALL * PARALLELISM, run.account_id
        assert max(again.values(), default=0) <= PAGE_SIZE, run.account_id
        completed = {event.customer_id for event in events if isinstance(event, ConversationCompletedEvent)}
        assert completed == {event.customer_id for event in events}, run.account_id
