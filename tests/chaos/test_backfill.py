"""A worker's run through what happens to servers, to its process and to its token.

The oracle is the simulator's set of message ids.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from services.backfill.app import READERS_PER_CALL
from shared.contract.contacts import Contact
from shared.domain.runs import ACTIVE_STATES, Run, RunState
from shared.store.mongo import Database
from tests.conftest import Stack, Start
from tests.support.backfilling import Facebook, mids, repeated
from tests.support.outcome import contacts
from tests.support.processes import Leadstream
from tests.support.servers import run_script
from tests.support.waiting import eventually

PAGE_SIZE = 100


@pytest.fixture
def facebook(simulator: dict[str, Any], stack: Stack, database: Database) -> Facebook:
    return Facebook(simulator, stack, database)


async def begun(facebook: Facebook, leadstream: Start) -> Leadstream:
    """A worker that is in the middle of the run of account 1, which goes slowly until `completed`."""
    await facebook.add_pages("1")
    await facebook.call("configure", {"latency_ms": 250})
    assert leadstream("backfill", "run", "--queue").wait() == 0
    worker = leadstream("backfill", "worker", env=facebook.env, LEADSTREAM_BACKFILL_PARALLELISM="1")
    await eventually(lambda: facebook.run_of("1"), lambda run: run.counters.conversations_read > 0)
    return worker


async def completed(facebook: Facebook) -> Run:
    await facebook.call("configure", {"latency_ms": 0})
    run = await eventually(lambda: facebook.run_of("1"), lambda run: run.state not in ACTIVE_STATES)
    assert (run.state, run.reason) == (RunState.COMPLETED, None)
    assert mids(await facebook.events("1")) == await facebook.readable()
    return run


async def test_sigterm_while_the_broker_is_away_requeues_the_run(facebook: Facebook, leadstream: Start) -> None:
    worker = await begun(facebook, leadstream)
    await asyncio.to_thread(facebook.stack.servers.stop_kafka)
    try:
        assert worker.terminate(10) == 0
        assert (await facebook.run_of("1")).state is RunState.QUEUED
    finally:
        await asyncio.to_thread(facebook.stack.servers.start_kafka)
    leadstream("backfill", "worker", env=facebook.env)
    await completed(facebook)


async def test_the_database_goes_away_and_one_worker_with_it_and_the_other_finishes_when_it_is_back(
    facebook: Facebook, leadstream: Start
) -> None:
    if facebook.stack.servers.folder is None:
        pytest.skip("only the local servers can be taken away one by one")
    first = await begun(facebook, leadstream)
    second = leadstream("backfill", "worker", env=facebook.env)
    await asyncio.to_thread(second.wait_for, "backfill_worker_started")
    mongo = ("--only", "mongo", "--dir", str(facebook.stack.servers.folder))
    await asyncio.to_thread(run_script, "down", *mongo)
    try:
        assert first.terminate(10) in {0, 1}
        await asyncio.to_thread(second.wait_for, "database_unreachable")
    finally:
        await asyncio.to_thread(run_script, "up", *mongo)
    await completed(facebook)
    assert second.terminate(10) == 0, second.output


async def test_a_suspended_worker_leaves_its_run_to_the_one_that_took_it_over(
    facebook: Facebook, leadstream: Start
) -> None:
    first = await begun(facebook, leadstream)
    first.process.send_signal(signal.SIGSTOP)
    leadstream("backfill", "worker", env=facebook.env)
    try:
        run = await completed(facebook)
    finally:
        first.process.send_signal(signal.SIGCONT)
    await asyncio.to_thread(first.wait_for, "run_lost")
    assert await facebook.run_of("1") == run, "what has ended is not written any more"
    again = repeated(await facebook.events("1"))
    assert len(again) <= READERS_PER_CALL
    assert max(again.values(), default=0) <= PAGE_SIZE
    assert first.terminate(10) == 0


async def test_a_token_that_expires_mid_run_fails_it_with_advice_and_harms_no_contact(
    facebook: Facebook, leadstream: Start, database: Database
) -> None:
    await facebook.add_pages("1")
    leadstream("analyzer")
    assert leadstream("backfill", "run", env=facebook.env).wait() == 0
    customers = {each["customer_id"] for each in await facebook.call("messages") if each["platform"] == "messenger"}

    async def analysed() -> dict[str, Contact]:
        return {each.customer_id: each for each in (await contacts(database)).values() if each.analysis}

    before = await eventually(analysed, lambda found: found.keys() == customers)
    said = [await facebook.call("act", {"act": "say", "who": name, "text": "Hello?"}) for name in await names(facebook)]
    expired = [{"path": "/messages", "error": "token_expired", "skip": 3, "times": 1000}]
    await facebook.call("faults", expired)
    process = leadstream("backfill", "run", env=facebook.env)
    assert process.wait() == 1
    *_, run = await facebook.runs()
    assert run.state is RunState.FAILED
    assert "connect the account again" in (run.reason or "")
    delivered = {each["message_id"] for each in said} & mids(await facebook.events("1"))
    assert 0 < len(delivered) < len(said), "some had been read before the token expired"

    async def known() -> set[str]:
        return {each["mid"] async for each in database.messages.find({"mid": {"$in": list(delivered)}})}

    await eventually(known, lambda found: found == delivered)
    after = await eventually(analysed, lambda found: found.keys() == customers)
    assert {key: each.name for key, each in after.items()} == {key: each.name for key, each in before.items()}
    assert all(each.analysis and each.analysis.summary for each in after.values())


async def names(facebook: Facebook) -> list[str]:
    """Ten customers of the Page."""
    oracle = await facebook.call("messages")
    return [each["name"] for each in oracle if each["platform"] == "messenger"][:10]
