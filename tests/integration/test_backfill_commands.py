"""What `accounts` and `backfill` answer: to wrong usage, wrong keys, absent servers, and of runs that others do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from services.cli import backfill as commands
from services.cli.main import app
from shared.contract.failures import UnreachableError
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.runs import RUN_LEASE, RunState
from shared.runtime.crypto import TokenVault
from shared.store.mongo import ConnectionFailure, Database, server_time
from shared.store.runs import RunStore
from tests.conftest import Stack, Start

PAGE = Account(platform=Platform.MESSENGER, account_id="371", page_id="371", name="The Page", encrypted_token="x")


async def add(database: Database, account: Account = PAGE) -> None:
    await database.accounts.insert_one({"_id": account.key, **account.model_dump(mode="json")})


async def test_a_token_is_encrypted_and_without_its_key_no_run_begins(leadstream: Start, database: Database) -> None:
    assert leadstream("accounts", "add", "messenger", "371", "--name", "x", stdin="EAAsecret\n").wait() == 0
    (stored,) = [each async for each in database.accounts.find({})]
    assert (stored["_id"], stored["page_id"], stored["mode"]) == ("messenger:371", "371", "SKIP_EXISTING")
    assert "EAAsecret" not in str(stored)
    another = {"LEADSTREAM_ENCRYPTION_KEYS": Fernet.generate_key().decode()}
    process = leadstream("backfill", "run", env=another)
    assert process.wait() == 2
    assert "a token was encrypted with a key" in process.output
    assert "Traceback" not in process.output
    assert await database.sync_runs.count_documents({}) == 0


async def test_a_run_that_cannot_be_resumed_without_a_key_is_left_unchanged(
    leadstream: Start, database: Database
) -> None:
    vault = TokenVault([Fernet.generate_key().decode()])
    await add(database, PAGE.model_copy(update={"encrypted_token": vault.encrypt("EAAsecret")}))
    failed = await RunStore(database).begin(PAGE)
    await RunStore(database).save(failed.model_copy(update={"state": RunState.FAILED}))
    process = leadstream("backfill", "resume", failed.run_id)
    assert process.wait() == 2
    assert "LEADSTREAM_ENCRYPTION_KEYS" in process.output
    assert (await RunStore(database).get(failed.run_id)).state is RunState.FAILED


@pytest.mark.parametrize("keys", ["", "nonsense"])
@pytest.mark.parametrize(
    "command",
    [("backfill", "run"), ("backfill", "worker"), ("reconcile",), ("accounts", "check"), ("accounts", "rotate")],
)
async def test_wrong_keys_are_wrong_usage_of_every_command(
    stack: Stack, database: Database, keys: str, command: tuple[str, ...]
) -> None:
    """In this process, which has the libraries loaded."""
    await add(database)
    runner = CliRunner(env={**stack.env, "LEADSTREAM_ENCRYPTION_KEYS": keys})
    result = await asyncio.to_thread(runner.invoke, app, command)
    assert result.exit_code == 2, result.output
    assert "LEADSTREAM_ENCRYPTION_KEYS" in result.output
    assert "nonsense" not in result.output


@pytest.mark.parametrize(
    ("arguments", "token"),
    [
        (("instagram", "1784", "--name", "x"), "t"),
        (("messenger", "1", "--name", "x"), ""),
        (("messenger", "1", "--name", "x"), "two words"),
        (("messenger", "1", "--name", "x"), "header\r\ninjected"),
        (("messenger", "1:2", "--name", "x"), "t"),
        (("messenger", "1", "--name", "x", "--page", "a:b"), "t"),
        (("messenger", "1", "--name", "x", "--pipeline", "None such"), "t"),
    ],
)
def test_wrong_usage_adds_nothing(leadstream: Start, arguments: tuple[str, ...], token: str) -> None:
    assert leadstream("accounts", "add", *arguments, stdin=token).wait() == 2
    assert leadstream("backfill", "run", "messenger", "1").wait() == 1


def test_an_unreachable_server_has_its_own_exit_status(leadstream: Start) -> None:
    unreachable = {"LEADSTREAM_MONGO_URL": "mongodb://127.0.0.1:1/x?directConnection=true"}
    assert leadstream("accounts", "list", env=unreachable).wait() == 3
    assert leadstream("backfill", "run", env={"LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}).wait() == 3


def test_an_absent_topic_is_not_waited_for(leadstream: Start, stack: Stack) -> None:
    if stack.servers.kind == "embedded":
        pytest.skip("the mock broker makes topics when they are used")
    absent = {"LEADSTREAM_TOPIC_PREFIX": "absent."}
    for process in [leadstream("backfill", command, env=absent) for command in ("run", "worker")]:
        assert process.wait() == 3
        assert "run `leadstream setup`" in process.output


def test_a_worker_that_reaches_no_server_ends_with_its_own_status(leadstream: Start) -> None:
    assert leadstream("backfill", "worker", env={"LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}).wait() == 3


async def test_a_run_is_queued_once_seen_by_all_and_cancelled_at_once(leadstream: Start, database: Database) -> None:
    await add(database)
    queue = leadstream("backfill", "run", "--queue", "--json")
    assert queue.wait() == 0
    (queued,) = json.loads(queue.lines()[-1])
    assert queued["state"] == RunState.QUEUED
    again, listed = (
        leadstream("backfill", "run", "messenger", "371", "--queue"),
        leadstream("backfill", "list", "--json"),
    )
    assert (again.wait(), listed.wait()) == (1, 0)
    assert "another run of messenger:371 is active" in again.output
    (seen,) = json.loads(listed.output)
    assert seen["run_id"] == queued["run_id"]
    shown = leadstream("backfill", "show", queued["run_id"], "--json")
    assert (shown.wait(), json.loads(shown.output)["run_id"]) == (0, queued["run_id"])
    assert leadstream("backfill", "cancel", queued["run_id"][:9]).wait() == 0
    assert (await RunStore(database).get(queued["run_id"])).state is RunState.CANCELLED


async def test_a_full_run_is_queued_as_such(leadstream: Start, database: Database) -> None:
    await add(database)
    assert leadstream("backfill", "run", "--queue", "--again").wait() == 0
    (run,) = await RunStore(database).newest(2)
    assert run.is_anew


async def test_a_run_whose_process_has_died_is_not_listed_as_running(leadstream: Start, database: Database) -> None:
    await add(database)
    await RunStore(database).begin(PAGE)
    long_alive = await server_time(database) + 100 * RUN_LEASE
    await database.sync_runs.update_many({}, {"$set": {"heartbeat_at": long_alive}})
    alive = leadstream("backfill", "list")
    assert alive.wait() == 0
    assert "RUNNING" in alive.output
    await database.sync_runs.update_many({}, {"$set": {"heartbeat_at": await server_time(database) - 2 * RUN_LEASE}})
    dead = leadstream("backfill", "list")
    assert dead.wait() == 0
    assert "RUNNING" not in dead.output
    assert "the next `backfill run` continues the run" in dead.output


def test_a_database_that_goes_away_during_a_run_is_reported_as_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def away(_settings: object) -> AsyncIterator[None]:
        raise ConnectionFailure
        yield

    monkeypatch.setattr(commands, "open_resources", away)
    with pytest.raises(UnreachableError, match="MongoDB has gone away"):
        CliRunner().invoke(commands.backfill_app, ["run"], catch_exceptions=False)


async def test_resume_says_why_a_run_cannot_be_resumed(leadstream: Start, stack: Stack, database: Database) -> None:
    token = TokenVault([stack.env["LEADSTREAM_ENCRYPTION_KEYS"]]).encrypt("EAAsecret")
    await add(database, PAGE.model_copy(update={"encrypted_token": token}))
    runs = RunStore(database)
    failed = await runs.begin(PAGE)
    await runs.save(failed.model_copy(update={"state": RunState.FAILED}))
    active = await runs.enqueue(PAGE)
    orphan = await runs.enqueue(PAGE.model_copy(update={"account_id": "9"}))
    wrong = {
        failed.run_id: "another active run",
        active.run_id: "is QUEUED; FAILED and PARTIAL ones can be resumed",
        orphan.run_id: "its account was removed",
        "zz": "no run begins with 'zz'",
    }
    resumed = {run_id: leadstream("backfill", "resume", run_id) for run_id in wrong}
    for run_id, process in resumed.items():
        assert process.wait() == 1
        assert wrong[run_id] in process.output
    await runs.cancel(active.run_id)
    assert leadstream("backfill", "resume", failed.run_id, "--queue").wait() == 0
    assert (await runs.get(failed.run_id)).state is RunState.QUEUED
