"""`leadstream accounts` over a real database and a simulated Facebook: what it stores, asks for, shows and refuses."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from services.cli.accounts import accounts_app
from services.simulator.state import OUTLET_PAGE, USER_TOKEN
from shared.domain.accounts import Account
from shared.runtime.clock import utc_now
from shared.runtime.crypto import TokenVault
from shared.store.mongo import Database
from tests.conftest import Stack
from tests.support.processes import with_settings

Simulator = dict[str, Any]
PAGE_ID, INSTAGRAM_ID = "371000000000001", "17841400000000001"


@dataclass(frozen=True)
class Ended:
    status: int
    output: str


@pytest.fixture
def accounts(simulator: Simulator, stack: Stack) -> Any:
    """Does `leadstream accounts …` against the simulator, in this process: many of them are done here."""
    graph = {"LEADSTREAM_GRAPH_URL": simulator["graph_url"], "LEADSTREAM_APP_SECRETS": simulator["app_secret"]}

    async def command(*arguments: str, stdin: str = "", **settings: str) -> Ended:
        runner = CliRunner(env={**stack.env, **graph, **settings})
        result = await asyncio.to_thread(runner.invoke, accounts_app, arguments, input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Ended(result.exit_code, result.output)

    return command


async def stored(database: Database) -> dict[str, Account]:
    return {each["_id"]: Account.model_validate(each) async for each in database.accounts.find({})}


async def configure(simulator: Simulator, **changes: Any) -> None:
    async with ClientSession() as session:
        url = f"{simulator['graph_url']}/_simulator/configure"
        async with session.post(url, json=changes) as answer:
            assert answer.status == 200, await answer.text()


async def test_importing_adds_every_page_and_instagram_account_with_the_pages_token(
    accounts: Any, simulator: Simulator, database: Database, stack: Stack
) -> None:
    process = await accounts("import", "--yes", stdin=USER_TOKEN)
    assert process.status == 0, process.output
    found = await stored(database)
    assert {key: (each.page_id, each.name) for key, each in found.items()} == {
        f"messenger:{PAGE_ID}": (PAGE_ID, "Casa Aurora Home"),
        f"instagram:{INSTAGRAM_ID}": (PAGE_ID, "casaaurora.home"),
        f"messenger:{OUTLET_PAGE.id}": (OUTLET_PAGE.id, OUTLET_PAGE.name),
    }
    vault, page_token = TokenVault([stack.env["LEADSTREAM_ENCRYPTION_KEYS"]]), simulator["accounts"][0]["token"]
    tokens = {key: vault.decrypt(each.encrypted_token) for key, each in found.items()}
    assert tokens[f"instagram:{INSTAGRAM_ID}"] == tokens[f"messenger:{PAGE_ID}"] == page_token
    for secret in (page_token, USER_TOKEN, OUTLET_PAGE.token):
        assert secret not in process.output
    check = await accounts("check", "--json")
    assert check.status == 1, "nobody has subscribed the outlet's webhooks yet"
    assert (await accounts("check", "--subscribe")).status == 0
    assert (await accounts("check")).status == 0


async def test_an_import_keeps_an_accounts_settings_and_adds_nothing_unasked(
    accounts: Any, simulator: Simulator, database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("EAAold\n")
    arguments = ("messenger", PAGE_ID, "--name", "Ours", "--every", "6h", "--mode", "UPDATE_EXISTING")
    assert (await accounts("add", *arguments, "--token-file", str(file))).status == 0
    before = (await stored(database))[f"messenger:{PAGE_ID}"]
    assert (before.every_seconds, before.mode) == (21_600, "UPDATE_EXISTING")
    file.write_text(USER_TOKEN)
    refused = await accounts("import", "--token-file", str(file))
    assert refused.status == 1
    assert "renew messenger" in refused.output
    assert "add   instagram" in refused.output
    assert "`--yes` adds them" in refused.output
    assert await stored(database) == {before.key: before}
    assert (await accounts("import", "--token-file", str(file), "--yes")).status == 0
    after = (await stored(database))[before.key]
    assert after == before.model_copy(update={"encrypted_token": after.encrypted_token})
    assert after.encrypted_token != before.encrypted_token
    assert (await accounts("edit", "messenger", PAGE_ID, "--timezone", "Asia/Manila", "--every", "1d")).status == 0
    edited = (await stored(database))[before.key]
    assert edited == after.model_copy(update={"timezone": "Asia/Manila", "every_seconds": 86_400})
    assert (await accounts("edit", "messenger", PAGE_ID, "--every", "")).status == 0
    assert (await stored(database))[before.key] == edited.model_copy(update={"every_seconds": None})
    assert (await accounts("edit", "messenger", PAGE_ID, "--every", "6h")).status == 0
    listed = await accounts("list")
    assert listed.status == 0
    assert "6h" in listed.output
    assert "encrypted" not in listed.output


def test_a_person_at_a_terminal_is_asked_and_their_token_is_not_echoed(
    simulator: Simulator, stack: Stack, database: Database
) -> None:
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover
        graph = {"LEADSTREAM_GRAPH_URL": simulator["graph_url"], "LEADSTREAM_APP_SECRETS": simulator["app_secret"]}
        command = [sys.executable, "-m", "services.cli.main", "accounts", "import"]
        os.execve(command[0], command, with_settings({**stack.env, **graph}))
    typed = {"Access token: ": USER_TOKEN, "[y/N]": "y"}
    screen = ""
    for question, answer in typed.items():
        while question not in screen:
            screen += os.read(terminal, 4096).decode()
        os.write(terminal, f"{answer}\n".encode())
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, screen
    assert USER_TOKEN not in screen


async def test_a_check_prints_problems_as_json_without_a_token_and_exits_with_status_one(
    accounts: Any, simulator: Simulator
) -> None:
    assert (await accounts("import", "--yes", stdin=USER_TOKEN)).status == 0
    await configure(simulator, withheld=["instagram_manage_messages"])
    process = await accounts("check", "instagram", INSTAGRAM_ID, "--json")
    assert process.status == 1
    (health,) = json.loads(process.output)
    assert (health["is_well"], health["permissions_missing"]) == (False, ["instagram_manage_messages"])
    assert (await accounts("check", "messenger", PAGE_ID)).status == 0
    await configure(simulator, revoked=True)
    process = await accounts("check", "messenger", PAGE_ID)
    assert process.status == 1
    assert "the token has expired; connect the account again" in process.output
    assert simulator["accounts"][0]["token"] not in process.output
    assert (await accounts("check", "messenger", "999")).status == 1
    assert (await accounts("check", "messenger")).status == 2


async def test_keys_are_rotated_until_the_old_one_can_be_dropped(
    accounts: Any, database: Database, stack: Stack
) -> None:
    old, new = stack.env["LEADSTREAM_ENCRYPTION_KEYS"], Fernet.generate_key().decode()
    assert (await accounts("add", "messenger", "371", "--name", "x", stdin="EAAsecret")).status == 0
    assert (await accounts("rotate", LEADSTREAM_ENCRYPTION_KEYS=f"{new},{old}")).status == 0
    (account,) = (await stored(database)).values()
    assert TokenVault([new]).decrypt(account.encrypted_token) == "EAAsecret"
    process = await accounts("rotate")
    assert process.status == 1
    assert "none of the keys is that of messenger:371" in process.output
    checked = await accounts("check")
    assert checked.status == 1
    assert "a token was encrypted with a key" in checked.output


async def test_an_idle_account_is_removed_after_confirmation_and_its_contacts_stay(
    accounts: Any, database: Database
) -> None:
    assert (await accounts("add", "messenger", "371", "--name", "x", stdin="EAAsecret")).status == 0
    await database.contacts.insert_one({"_id": "messenger:371:813"})
    await database.crawls.insert_many([{"_id": "messenger:371"}, {"_id": "messenger:3712"}])
    assert (await accounts("remove", "messenger", "371")).status == 1, "there was no terminal to ask at"
    run = {"platform": "messenger", "account_id": "371", "active": True, "state": "RUNNING", "created_at": utc_now()}
    await database.sync_runs.insert_one({"_id": "run1", **run})
    process = await accounts("remove", "messenger", "371", "--yes")
    assert process.status == 1
    assert "run run1 of messenger:371 is RUNNING" in process.output
    assert len(await stored(database)) == 1
    await database.sync_runs.update_one({"_id": "run1"}, {"$set": {"active": False}})
    assert (await accounts("remove", "messenger", "371", "--yes")).status == 0
    assert await stored(database) == {}
    assert await database.contacts.count_documents({}) == 1
    assert [each["_id"] async for each in database.crawls.find({})] == ["messenger:3712"]
    assert (await accounts("remove", "messenger", "371", "--yes")).status == 1


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (("add", "messenger", "1", "--name", "x", "--every", "6"), "t"),
        (("add", "messenger", "1", "--name", "x", "--token-file", "/nowhere"), "t"),
        (("add", "messenger", "1", "--name", "x", "--timezone", "Berlin"), "t"),
        (("import",), ""),
        (("import",), "two words"),
    ],
)
async def test_wrong_usage_is_reported(accounts: Any, arguments: tuple[str, ...], stdin: str) -> None:
    assert (await accounts(*arguments, stdin=stdin)).status == 2


async def test_a_token_that_the_platform_refuses_imports_nothing(accounts: Any) -> None:
    process = await accounts("import", "--yes", stdin="EAAnonsense")
    assert process.status == 1
    assert "the Pages could not be listed: token 190" in process.output
    assert "EAAnonsense" not in process.output
