"""Who owns a run, on a real database: two stores are two processes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.runs import RUN_LEASE, ConversationFailure, Run, RunCounters, RunState
from shared.runtime.clock import utc_now
from shared.store.mongo import Database, server_time
from shared.store.runs import CANCELLED_BY_OPERATOR, ActiveRunError, NotResumableError, RunStore

PAGE = Account(platform=Platform.MESSENGER, account_id="371", page_id="371", name="The Page", encrypted_token="x")
OTHER = PAGE.model_copy(update={"account_id": "372"})
READ = RunCounters(messages_published=7)


async def grow_old(database: Database, by: timedelta) -> None:
    """Move the heartbeats back, as if the processes had been silent for so long."""
    beat_at = await server_time(database) - by
    held = {"state": RunState.RUNNING}
    await database.sync_runs.update_many(held, {"$set": {"heartbeat_at": beat_at}})


async def die(database: Database) -> None:
    await grow_old(database, RUN_LEASE + timedelta(seconds=1))


def ended(run: Run, state: RunState = RunState.COMPLETED) -> Run:
    failures = (ConversationFailure(thread_id="t_1", reason="gone"),)
    end = {"state": state, "reason": "why", "failures": failures, "finished_at": utc_now(), "counters": READ}
    return run.model_copy(update=end)


async def test_an_account_has_one_active_run(database: Database) -> None:
    first, second = RunStore(database), RunStore(database)
    run = await first.begin(PAGE)
    with pytest.raises(ActiveRunError, match=run.run_id):
        await second.begin(PAGE)
    with pytest.raises(ActiveRunError):
        await second.enqueue(PAGE)
    assert (await second.begin(OTHER)).run_id != run.run_id
    await first.save(ended(run))
    assert (await second.begin(PAGE)).run_id != run.run_id
    states = [stored.state for stored in await first.newest(10)]
    assert sorted(states) == [RunState.COMPLETED, RunState.RUNNING, RunState.RUNNING]


async def test_one_of_many_concurrent_starts_succeeds(database: Database) -> None:
    begun = await asyncio.gather(*(RunStore(database).begin(PAGE) for _ in range(8)), return_exceptions=True)
    assert [type(each) for each in begun].count(Run) == 1
    assert {type(each) for each in begun} == {Run, ActiveRunError}
    assert await database.sync_runs.count_documents({}) == 1


async def test_a_queued_run_is_claimed_once_the_oldest_first(database: Database) -> None:
    store = RunStore(database)
    older, newer = await store.enqueue(PAGE), await store.enqueue(OTHER)
    claims = await asyncio.gather(*(RunStore(database).claim() for _ in range(8)))
    taken = [claim for claim in claims if claim]
    assert {claim.run_id for claim in taken} == {older.run_id, newer.run_id}
    assert len(taken) == 2
    assert {claim.state for claim in taken} == {RunState.RUNNING}
    await store.give_back(next(claim for claim in taken if claim.run_id == newer.run_id))
    await store.give_back(next(claim for claim in taken if claim.run_id == older.run_id))
    first = await store.claim()
    assert first is not None
    assert first.run_id == older.run_id


async def test_a_run_with_heartbeats_is_left_alone(database: Database) -> None:
    await RunStore(database).begin(PAGE)
    await grow_old(database, RUN_LEASE - timedelta(seconds=3))
    with pytest.raises(ActiveRunError):
        await RunStore(database).begin(PAGE)
    assert await RunStore(database).claim() is None


async def test_a_dead_run_is_taken_over_under_its_id_and_its_late_process_cannot_write(database: Database) -> None:
    dead, heir = RunStore(database), RunStore(database)
    run = await dead.begin(PAGE)
    await dead.save(run.model_copy(update={"counters": READ}))
    await die(database)
    taken = await heir.claim()
    assert taken is not None
    assert (taken.run_id, taken.state, taken.counters, taken.started_at) == (
        run.run_id, RunState.RUNNING, READ, run.started_at,
    )  # fmt: skip
    for late in (dead.save(ended(run)), dead.give_back(run), RunStore(database).begin(PAGE)):
        with pytest.raises(ActiveRunError):
            await late
    await heir.save(ended(taken))
    with pytest.raises(ActiveRunError):
        await heir.save(taken)
    (stored,) = await heir.with_id_prefix(run.run_id[:6])
    assert stored.state is RunState.COMPLETED


async def test_a_lost_claim_cannot_write_after_the_same_process_claims_again(database: Database) -> None:
    store = RunStore(database)
    lost = await store.begin(PAGE)
    await die(database)
    assert await store.claim() is not None
    with pytest.raises(ActiveRunError):
        await store.save(lost)


async def test_a_heartbeat_keeps_a_run(database: Database) -> None:
    store = RunStore(database)
    run = await store.begin(PAGE)
    await die(database)
    await store.save(run)
    assert await RunStore(database).claim() is None


async def test_a_requeued_run_can_be_claimed_by_any_process_and_keeps_its_counters(database: Database) -> None:
    store = RunStore(database)
    run = await store.begin(PAGE)
    await store.give_back(run.model_copy(update={"counters": READ}))
    given = await store.get(run.run_id)
    assert (given.state, given.owner, given.counters) == (RunState.QUEUED, None, READ)
    assert (await RunStore(database).begin(PAGE)).run_id == run.run_id


async def test_a_full_run_stays_full_whichever_process_claims_it(database: Database) -> None:
    store = RunStore(database)
    await store.enqueue(PAGE, is_anew=True)
    claimed = await store.claim()
    assert claimed is not None
    await die(database)
    taken = await store.begin(PAGE)
    await store.save(ended(taken, RunState.FAILED))
    resumed = await store.resume(taken.run_id)
    assert claimed.is_anew == taken.is_anew == resumed.is_anew is True
    assert (await store.begin(PAGE, is_anew=True)).run_id == resumed.run_id


async def test_a_full_run_is_not_replaced_by_an_active_incremental_run(database: Database) -> None:
    store = RunStore(database)
    run = await store.enqueue(PAGE)
    with pytest.raises(ActiveRunError, match="cancel it first"):
        await store.begin(PAGE, is_anew=True)
    await store.cancel(run.run_id)
    assert (await store.begin(PAGE, is_anew=True)).is_anew


async def test_a_queued_run_is_cancelled_at_once_and_for_good(database: Database) -> None:
    store = RunStore(database)
    run = await store.enqueue(PAGE)
    cancelled = await store.cancel(run.run_id)
    assert (cancelled.state, cancelled.reason) == (RunState.CANCELLED, CANCELLED_BY_OPERATOR)
    assert cancelled.finished_at is not None
    assert await store.claim() is None
    assert (await store.begin(PAGE)).run_id != run.run_id


async def test_a_running_run_is_cancelled_by_its_own_process(database: Database) -> None:
    store = RunStore(database)
    run = await store.begin(PAGE)
    assert await store.save(run) is False
    assert (await store.cancel(run.run_id)).state is RunState.RUNNING
    assert await store.save(run) is True


async def test_a_run_of_a_dead_process_is_cancelled_at_once(database: Database) -> None:
    store = RunStore(database)
    run = await store.begin(PAGE)
    await die(database)
    assert (await store.cancel(run.run_id)).state is RunState.CANCELLED
    with pytest.raises(ActiveRunError):
        await store.save(run)


async def test_a_cancelled_run_whose_process_has_died_is_not_claimed_again(database: Database) -> None:
    store = RunStore(database)
    run = await store.begin(PAGE)
    await store.cancel(run.run_id)
    await die(database)
    assert await store.claim() is None
    assert (await store.get(run.run_id)).state is RunState.CANCELLED


async def test_a_new_run_begins_after_a_cancelled_run_whose_process_has_died(
    database: Database,
) -> None:
    store = RunStore(database)
    dead = await store.begin(PAGE)
    await database.sync_runs.update_one({}, {"$set": {"cancel_asked": True}})
    with pytest.raises(ActiveRunError):
        await store.begin(PAGE)
    await die(database)
    begun = await store.begin(PAGE)
    assert (begun.state, begun.cancel_asked, begun.run_id != dead.run_id) == (RunState.RUNNING, False, True)
    assert (await store.get(dead.run_id)).state is RunState.CANCELLED


async def test_a_run_that_is_requeued_during_its_cancellation_is_cancelled(database: Database) -> None:
    store = RunStore(database)
    run = await store.begin(PAGE)
    await store.cancel(run.run_id)
    await store.give_back(run)
    assert (await store.get(run.run_id)).state is RunState.CANCELLED


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.PARTIAL])
async def test_a_run_that_failed_or_is_partial_can_be_resumed(database: Database, state: RunState) -> None:
    store = RunStore(database)
    run = await store.begin(PAGE)
    await store.save(ended(run, state))
    resumed = await store.resume(run.run_id)
    assert (resumed.state, resumed.reason, resumed.failures, resumed.finished_at) == (RunState.QUEUED, None, (), None)
    assert resumed.counters == READ
    claimed = await store.claim()
    assert claimed is not None
    assert claimed.run_id == run.run_id
    with pytest.raises(NotResumableError, match="RUNNING"):
        await store.resume(run.run_id)


@pytest.mark.parametrize("state", [RunState.COMPLETED, RunState.CANCELLED])
async def test_a_final_state_stays(database: Database, state: RunState) -> None:
    store = RunStore(database)
    run = await store.begin(PAGE)
    await store.save(ended(run, state))
    with pytest.raises(NotResumableError, match=state):
        await store.resume(run.run_id)
    assert (await store.cancel(run.run_id)).state is state
    assert await store.claim() is None


async def test_a_run_is_not_resumed_beside_another_of_its_account(database: Database) -> None:
    store = RunStore(database)
    run = await store.begin(PAGE)
    await store.save(ended(run, RunState.FAILED))
    await store.enqueue(PAGE)
    with pytest.raises(ActiveRunError):
        await store.resume(run.run_id)
    assert (await store.get(run.run_id)).state is RunState.FAILED


async def test_a_run_is_found_by_the_beginning_of_its_id_alone(database: Database) -> None:
    store = RunStore(database)
    runs = [await store.begin(PAGE.model_copy(update={"account_id": str(number)})) for number in range(40)]
    assert await store.with_id_prefix(runs[0].run_id) == [runs[0]]
    assert await store.with_id_prefix("zz") == []
    assert len(await store.with_id_prefix("")) == 2
