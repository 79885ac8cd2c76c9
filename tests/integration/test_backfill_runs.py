"""Who owns a run, on a real database: two stores are two processes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.backfill.listing import Listed
from services.backfill.normalise import Reading
from services.backfill.runs import DEAD_AFTER, ActiveRunError, History, RunStore
from shared.accounts import Account
from shared.clock import utc_now
from shared.events import Participant
from shared.ids import Platform
from shared.mongo import Database, server_time
from shared.runs import Run, RunCounters, RunState

PAGE = Account(platform=Platform.MESSENGER, account_id="371", page_id="371", name="The Page", encrypted_token="x")
OTHER = PAGE.model_copy(update={"account_id": "372"})


async def grow_old(database: Database, by: timedelta) -> None:
    """As if the process had not been heard of for so long."""
    heard = await server_time(database) - by
    await database.sync_runs.update_many({"active": True}, {"$set": {"heartbeat_at": heard}})


def ended(run: Run) -> Run:
    return run.model_copy(update={"state": RunState.COMPLETED, "finished_at": utc_now()})


async def test_an_account_has_one_active_run(database: Database) -> None:
    first, second = RunStore(database), RunStore(database)
    run = await first.begin(PAGE)
    with pytest.raises(ActiveRunError, match=run.run_id):
        await second.begin(PAGE)
    assert (await second.begin(OTHER)).run_id != run.run_id
    await first.save(ended(run))
    assert (await second.begin(PAGE)).run_id != run.run_id
    states = [stored.state for stored in await first.newest(10)]
    assert sorted(states) == [RunState.COMPLETED, RunState.RUNNING, RunState.RUNNING]


async def test_a_run_that_is_still_heard_of_is_left_alone(database: Database) -> None:
    await RunStore(database).begin(PAGE)
    await grow_old(database, DEAD_AFTER - timedelta(seconds=10))
    with pytest.raises(ActiveRunError):
        await RunStore(database).begin(PAGE)


async def test_a_dead_run_is_taken_over_under_its_id_and_its_late_process_cannot_write(database: Database) -> None:
    dead, heir = RunStore(database), RunStore(database)
    run = await dead.begin(PAGE)
    await dead.save(run.model_copy(update={"counters": RunCounters(messages_published=7)}))
    await grow_old(database, DEAD_AFTER + timedelta(seconds=1))
    taken = await heir.begin(PAGE)
    assert (taken.run_id, taken.state, taken.counters.messages_published) == (run.run_id, RunState.RUNNING, 7)
    with pytest.raises(ActiveRunError):
        await dead.save(ended(run))
    with pytest.raises(ActiveRunError):
        await RunStore(database).begin(PAGE)
    await heir.save(ended(taken))
    with pytest.raises(ActiveRunError):
        await heir.save(taken)
    (stored,) = await heir.beginning_with(run.run_id[:6])
    assert stored.state is RunState.COMPLETED


async def test_a_heartbeat_keeps_a_run(database: Database) -> None:
    store = RunStore(database)
    run = await store.begin(PAGE)
    await grow_old(database, DEAD_AFTER * 2)
    await store.save(run)
    with pytest.raises(ActiveRunError):
        await RunStore(database).begin(PAGE)


async def test_a_run_is_found_by_the_beginning_of_its_id_alone(database: Database) -> None:
    store = RunStore(database)
    runs = [await store.begin(PAGE.model_copy(update={"account_id": str(number)})) for number in range(40)]
    assert await store.beginning_with(runs[0].run_id) == [runs[0]]
    assert await store.beginning_with("zz") == []
    assert len(await store.beginning_with("")) == 2


async def test_the_checkpoint_leaves_the_rest_of_the_conversation_as_it_is(database: Database) -> None:
    store = RunStore(database)
    listed = Listed("t_1", Participant(id="9"), (), utc_now(), 3)
    reading = Reading(PAGE, listed, "run")
    assert await store.history(reading.key) is None
    await store.remember(reading, 3, 1)
    await database.conversations.update_one({"_id": str(reading.key)}, {"$set": {"revision": 5}})
    await store.remember(Reading(PAGE, listed, "run2"), 4, 0)
    assert await store.history(reading.key) == History("run2", listed.updated_time)
    stored = await database.conversations.find_one({"_id": "messenger:371:9"})
    assert stored is not None
    assert (stored["revision"], stored["customer_id"], stored["history"]["messages"]) == (5, "9", 4)
