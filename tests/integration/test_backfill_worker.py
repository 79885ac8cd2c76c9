"""Workers over real servers: which worker executes which run, how they stop, and how operators control them."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from services.backfill.app import open_resources
from services.backfill.runs.run_schedule import RunSchedule
from shared.domain.runs import ACTIVE_STATES, Run, RunState
from shared.runtime.clock import utc_now
from shared.runtime.settings import BackfillSettings
from shared.store.accounts import AccountStore
from shared.store.mongo import Database
from shared.store.runs import RunStore
from tests.conftest import Stack, Start
from tests.support.backfilling import Facebook, mids, repeated
from tests.support.servers import free_port
from tests.support.waiting import eventually


@pytest.fixture
def facebook(simulator: dict[str, Any], stack: Stack, database: Database) -> Facebook:
    return Facebook(simulator, stack, database)


def is_ended(run: Run) -> bool:
    return run.state not in ACTIVE_STATES


def is_reading(run: Run) -> bool:
    return run.state is RunState.RUNNING and run.counters.conversations_read > 0


async def ended(facebook: Facebook, account_id: str) -> Run:
    await eventually(lambda: facebook.runs_of(account_id), lambda runs: runs and all(map(is_ended, runs)))
    return await facebook.run_of(account_id)


async def test_a_worker_does_the_runs_of_several_accounts_at_once(facebook: Facebook, leadstream: Start) -> None:
    await facebook.add_pages("1", "2", "3")
    await facebook.call("configure", {"latency_ms": 2_000})
    assert leadstream("backfill", "run", "--queue").wait() == 0
    assert [run.state for run in await facebook.runs()] == [RunState.QUEUED] * 3
    leadstream("backfill", "worker", env=facebook.env)
    await eventually(facebook.runs, lambda runs: {run.state for run in runs} == {RunState.RUNNING})
    await facebook.call("configure", {"latency_ms": 0})
    for account_id in ("1", "2", "3"):
        run, events = await ended(facebook, account_id), await facebook.events(account_id)
        assert (run.state, run.reason) == (RunState.COMPLETED, None)
        assert mids(events) == await facebook.readable()
        assert not repeated(events)
        assert run.counters.messages_published == len(mids(events))


async def test_two_workers_that_start_at_once_do_one_run_once(facebook: Facebook, leadstream: Start) -> None:
    await facebook.add_pages("1")
    workers = [leadstream("backfill", "worker", env=facebook.env) for _ in range(2)]
    for worker in workers:
        worker.wait_for("backfill_worker_started")
    assert leadstream("backfill", "run", "--queue").wait() == 0
    assert (await ended(facebook, "1")).state is RunState.COMPLETED
    assert sum("run_claimed" in worker.output for worker in workers) == 1
    events = await facebook.events("1")
    assert mids(events) == await facebook.readable()
    assert not repeated(events)


async def test_sigterm_requeues_the_run_and_another_worker_continues(facebook: Facebook, leadstream: Start) -> None:
    await facebook.add_pages("1")
    await facebook.call("configure", {"latency_ms": 500})
    assert leadstream("backfill", "run", "--queue").wait() == 0
    first = leadstream("backfill", "worker", env=facebook.env)
    await eventually(lambda: facebook.run_of("1"), is_reading)
    assert first.terminate(timeout_seconds=10) == 0, first.output
    given = await facebook.run_of("1")
    assert (given.state, given.owner) == (RunState.QUEUED, None)
    published = len(mids(await facebook.events("1")))
    assert 0 < given.counters.messages_published <= published, "what was under way may be there, and is not counted"
    await facebook.call("configure", {"latency_ms": 0})
    leadstream("backfill", "worker", env=facebook.env)
    run, events = await ended(facebook, "1"), await facebook.events("1")
    assert run.state is RunState.COMPLETED
    assert mids(events) == await facebook.readable()
    assert run.counters.calls > given.counters.calls
    assert run.counters.messages_published > given.counters.messages_published


async def test_a_cancellation_takes_effect_during_a_throttle_wait_and_keeps_the_counters(
    facebook: Facebook, leadstream: Start
) -> None:
    await facebook.add_pages("1")
    await facebook.call("configure", {"budget_calls": 20, "budget_seconds": 3600})
    assert leadstream("backfill", "run", "--queue").wait() == 0
    worker = leadstream("backfill", "worker", env=facebook.env)
    waiting = await eventually(lambda: facebook.run_of("1"), lambda run: run.throttled_until)
    cancel = leadstream("backfill", "cancel", waiting.run_id[:12])
    assert cancel.wait() == 0, cancel.output
    run = await facebook.run_of("1")
    assert (run.state, run.reason) == (RunState.CANCELLED, "cancelled by the operator")
    assert run.counters.messages_published == len(mids(await facebook.events("1"))) > 0
    assert run.counters.messages_published >= waiting.counters.messages_published
    assert worker.process.poll() is None
    assert leadstream("backfill", "resume", run.run_id).wait() == 1
    again = leadstream("backfill", "cancel", run.run_id)
    assert again.wait() == 1
    assert "CANCELLED already" in again.output


async def test_a_cancellation_takes_effect_during_a_long_call(facebook: Facebook, leadstream: Start) -> None:
    await facebook.add_pages("1")
    await facebook.call("configure", {"latency_ms": 60_000})
    running = leadstream("backfill", "run", env=facebook.env)
    run = await eventually(facebook.runs, lambda runs: runs and runs[0].counters.calls)
    asked_at = utc_now()
    await RunStore(facebook.database).cancel(run[0].run_id)
    assert running.wait(10) == 1
    assert "CANCELLED" in running.output
    finished_at = (await facebook.run_of("1")).finished_at
    assert finished_at is not None
    assert finished_at - asked_at < timedelta(seconds=2)


async def test_one_process_keeps_to_its_maximum_of_accounts_at_once(facebook: Facebook, leadstream: Start) -> None:
    await facebook.add_pages("1", "2", "3")
    alone = facebook.env | {"LEADSTREAM_BACKFILL_ACCOUNTS": "1"}
    running = leadstream("backfill", "run", env=alone)
    assert running.wait() == 0, running.output
    runs = sorted(await facebook.runs(), key=lambda run: run.created_at)
    assert {run.account_id for run in runs} == {"1", "2", "3"}
    for before, after in pairwise(runs):
        assert before.finished_at is not None
        assert before.finished_at <= after.created_at + timedelta(milliseconds=1)


async def test_calls_of_many_accounts_do_not_wait_for_one_another(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that is admitted must follow at once: nothing else may make it wait."""
    number, arrived, all_are_there = 8 * 20, 0, asyncio.Event()
    for name, value in stack.env.items():
        monkeypatch.setenv(name, value)

    async def answer(_request: web.Request) -> web.Response:
        nonlocal arrived
        arrived += 1
        if arrived == number:
            all_are_there.set()
        await all_are_there.wait()
        return web.Response()

    application = web.Application()
    application.router.add_get("/", answer)
    async with TestServer(application) as server, open_resources(BackfillSettings()) as resources, asyncio.timeout(10):
        calls = [resources.session.get(server.make_url("/")) for _ in range(number)]
        assert {each.status for each in await asyncio.gather(*calls)} == {200}


async def test_waiting_accounts_are_not_started_after_an_interrupt(facebook: Facebook, leadstream: Start) -> None:
    await facebook.add_pages("1", "2")
    await facebook.call("configure", {"latency_ms": 60_000})
    running = leadstream("backfill", "run", env=facebook.env | {"LEADSTREAM_BACKFILL_ACCOUNTS": "1"})
    await eventually(facebook.runs, lambda runs: runs and runs[0].counters.calls)
    assert running.terminate() == 1
    assert "not started, because the operator interrupted the command" in running.output
    assert [run.state for run in await facebook.runs()] == [RunState.CANCELLED]


async def test_a_partial_run_is_resumed_and_reads_only_what_had_failed(facebook: Facebook, leadstream: Start) -> None:
    await facebook.add_pages("1")
    threads = [each["thread_id"] for each in await facebook.call("messages") if each["platform"] == "messenger"][:2]
    too_much = [{"path": f"/{thread}/messages", "error": "reduce_data", "times": 50} for thread in threads]
    await facebook.call("faults", too_much)
    assert leadstream("backfill", "run", env=facebook.env).wait() == 1
    partial = await facebook.run_of("1")
    assert (partial.state, partial.reason, len(partial.failures)) == (
        RunState.PARTIAL, "2 conversations failed", 2,
    )  # fmt: skip
    assert {failure.thread_id for failure in partial.failures} == set(threads)
    await facebook.call("faults", [])
    resumed = leadstream("backfill", "resume", partial.run_id, "--json", env=facebook.env)
    assert resumed.wait() == 0, resumed.output
    (run,) = json.loads(resumed.lines()[-1])
    assert (run["run_id"], run["state"], run["failures"]) == (partial.run_id, RunState.COMPLETED, [])
    events = await facebook.events("1")
    assert mids(events) == await facebook.readable()
    assert not repeated(events)
    assert run["counters"]["messages_published"] == len(mids(events))


async def test_a_run_that_cannot_begin_is_failed_with_advice_and_others_continue(
    facebook: Facebook, leadstream: Start, database: Database
) -> None:
    good, bad, gone = await facebook.add_pages("1", "2", "3")
    for account in (bad, gone, good):
        await RunStore(database).enqueue(account)
    await database.accounts.update_one({"_id": bad.key}, {"$set": {"encrypted_token": "gAAAAABnothing"}})
    await database.accounts.delete_one({"_id": gone.key})
    leadstream("backfill", "worker", env=facebook.env)
    assert (await ended(facebook, "1")).state is RunState.COMPLETED
    reasons = {account_id: await ended(facebook, account_id) for account_id in ("2", "3")}
    assert {run.state for run in reasons.values()} == {RunState.FAILED}
    assert "key" in (reasons["2"].reason or "")
    assert "was removed" in (reasons["3"].reason or "")


async def test_scheduled_accounts_get_their_runs_and_two_workers_make_one_each(
    facebook: Facebook, leadstream: Start
) -> None:
    await facebook.add_pages("1", every_seconds=3600)
    await facebook.add_pages("2")
    for _ in range(2):
        leadstream("backfill", "worker", env=facebook.env)
    assert (await ended(facebook, "1")).state is RunState.COMPLETED
    assert [run.account_id for run in await facebook.runs()] == ["1"]


async def test_a_scheduled_run_is_due_by_the_servers_time_since_the_last_one_began(
    facebook: Facebook, database: Database
) -> None:
    (account,) = await facebook.add_pages("1", every_seconds=2)
    runs = RunStore(database)
    schedule = RunSchedule(database, AccountStore(database), runs)
    await schedule.enqueue_due()
    await schedule.enqueue_due()
    (first,) = await facebook.runs()
    begun = await runs.begin(account)
    assert begun.run_id == first.run_id
    await runs.save(begun.model_copy(update={"state": RunState.COMPLETED}))

    async def due() -> list[Run]:
        await schedule.enqueue_due()
        return await facebook.runs()

    runs_then = await eventually(due, lambda found: len(found) == 2)
    assert (runs_then[1].created_at - runs_then[0].created_at).total_seconds() >= 2


@pytest.mark.parametrize("is_resumed", [False, True])
async def test_no_scheduled_run_follows_a_warning_until_a_person_starts_one(
    facebook: Facebook, database: Database, is_resumed: bool
) -> None:
    (account,) = await facebook.add_pages("1", every_seconds=1)
    runs = RunStore(database)
    schedule = RunSchedule(database, AccountStore(database), runs)

    async def end(**how: Any) -> Run:
        begun = await runs.begin(account)
        await runs.save(begun.model_copy(update=how))
        await asyncio.sleep(1)
        await schedule.enqueue_due()
        return begun

    warned = await end(state=RunState.FAILED, is_warned=True)
    assert [run.state for run in await facebook.runs()] == [RunState.FAILED]
    if is_resumed:
        await runs.resume(warned.run_id)
    await end(state=RunState.COMPLETED)
    assert RunState.QUEUED in {run.state for run in await facebook.runs()}


async def test_a_worker_reports_its_health(facebook: Facebook, leadstream: Start) -> None:
    port = free_port()
    await facebook.add_pages("1", every_seconds=3600)
    leadstream("backfill", "worker", env=facebook.env, LEADSTREAM_METRICS_PORT=str(port))
    run = await ended(facebook, "1")

    async def page() -> str:
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            return await answer.text()

    await eventually(page, lambda text: 'leadstream_backfill_runs_total{state="COMPLETED"} 1.0' in text)
    events = await facebook.events("1")
    assert f"leadstream_backfill_published_total {float(len(events))}" in await page()
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/ready") as answer:
        assert answer.status == 200
    assert run.counters.conversations_read > 0
