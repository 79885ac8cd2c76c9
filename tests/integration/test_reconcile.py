"""`leadstream reconcile` finds what the platform has and the database has not, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import typer
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from services.backfill.crawl.checkpoints import CheckpointStore, History
from services.backfill.reconcile import Compared, Reconciler, Uncompared
from services.cli.reconcile import reconcile
from services.simulator.app import APP_SECRET, create_app
from services.simulator.corpus import INSTAGRAM_ID, PAGE_ID, generate
from shared.contract.failures import UnreachableError
from shared.contract.ids import ConversationKey, Platform, message_id
from shared.domain.accounts import Account
from shared.domain.messages import StoredMessage, TimeSource, document
from shared.graph_api.client import GraphClient
from shared.store.erasures import Erasures
from shared.store.mongo import Database
from tests.conftest import Stack, Start
from tests.support.backfilling import Facebook
from tests.support.governors import local_governor
from tests.support.waiting import eventually

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
CORPUS = partial(generate, 7, NOW, messenger=3, instagram=2, messages=45)
TOKEN = CORPUS().accounts[0].token
HIDDEN = 25
"""Of 45 messages, Instagram shows the newest 20."""
MESSENGER, INSTAGRAM = (
    Account(platform=platform, account_id=account_id, page_id=PAGE_ID, name="Casa", encrypted_token="x")
    for platform, account_id in ((Platform.MESSENGER, PAGE_ID), (Platform.INSTAGRAM, INSTAGRAM_ID))
)


@dataclass
class Staged:
    """A simulator in this process, and what a database has of it."""

    url: str
    session: ClientSession
    database: Database

    async def call(self, path: str, body: object = None) -> Any:
        method = "GET" if body is None else "POST"
        async with self.session.request(method, f"{self.url}/_simulator/{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def conversations(self, account: Account) -> list[dict[str, Any]]:
        return [each for each in await self.call("messages") if each["account_id"] == account.account_id]

    async def store_all(self, account: Account) -> None:
        """As a complete run and the analyzer leave it."""
        for each in await self.conversations(account):
            await self.store(account, each["customer_id"], each["readable"])
            unavailable = len(each["ids"]) - len(each["readable"])
            history = History("run1", each["thread_id"], NOW, len(each["readable"]), unavailable)
            await CheckpointStore(self.database).remember(key_of(account, each["customer_id"]), history)

    async def store(self, account: Account, customer_id: str, mids: Sequence[str], **more: Any) -> None:
        for mid in mids:
            message = StoredMessage(
                message_id=message_id(account.platform, account.account_id, mid), platform=account.platform, mid=mid,
                conversation=str(key_of(account, customer_id)), account_id=account.account_id, customer_id=customer_id,
                **{"times": {TimeSource.BACKFILL: NOW}, **more},
            )  # fmt: skip
            await self.database.messages.replace_one({"_id": message.message_id}, document(message), upsert=True)

    async def lose(self, account: Account, mids: Sequence[str]) -> None:
        ids = [message_id(account.platform, account.account_id, mid) for mid in mids]
        assert (await self.database.messages.delete_many({"_id": {"$in": ids}})).deleted_count == len(mids)

    async def settle(self, _seconds: float) -> None:
        """What happens while a conversation that has just moved is left alone."""

    async def compare(self, account: Account, *, by_ids: bool = False) -> list[Compared | Uncompared]:
        governor = local_governor(Platform.MESSENGER)  # not to wait for Instagram's two calls a second
        client = GraphClient(self.session, self.url, "v26.0", TOKEN, governor, APP_SECRET, deadline_seconds=0.0)
        reconciler = Reconciler(account, client, self.database, 20, by_ids, sleep=self.settle)
        return [each async for each in reconciler.compare()]

    async def missing(self, account: Account, *, by_ids: bool = False) -> dict[str, int]:
        """By customer, of the conversations with holes."""
        compared = await self.compare(account, by_ids=by_ids)
        assert all(isinstance(each, Compared) for each in compared)
        return {each.key.customer_id: each.missing for each in compared if isinstance(each, Compared) and each.missing}


def key_of(account: Account, customer_id: str) -> ConversationKey:
    return ConversationKey(account.platform, account.account_id, customer_id)


@pytest.fixture
async def staged(database: Database) -> AsyncIterator[Staged]:
    async with ClientSession() as session, TestServer(create_app(CORPUS(), session)) as server:
        staged = Staged(str(server.make_url("")).rstrip("/"), session, database)
        await staged.call("configure", {"instagram_per_second": 0})
        await staged.store_all(MESSENGER)
        await staged.store_all(INSTAGRAM)
        yield staged


@pytest.mark.parametrize(
    ("account", "by", "stored", "unavailable"), [(MESSENGER, "listing", 45, 0), (INSTAGRAM, "pages", 20, HIDDEN)]
)
async def test_an_account_stored_as_the_platform_shows_it_has_no_holes(
    staged: Staged, account: Account, by: str, stored: int, unavailable: int
) -> None:
    compared = await staged.compare(account)
    customers = {each["customer_id"] for each in await staged.conversations(account)}
    assert len(compared) == len(customers)
    assert {each.key.customer_id for each in compared if isinstance(each, Compared)} == customers
    for each in compared:
        assert isinstance(each, Compared)
        result = (each.listed, each.counted_by, each.stored, each.unavailable, each.missing)
        assert result == (45, by, stored, unavailable, 0)
    assert await staged.missing(account, by_ids=True) == {}


@pytest.mark.parametrize("account", [MESSENGER, INSTAGRAM])
async def test_a_lost_message_is_found_in_its_conversation(staged: Staged, account: Account) -> None:
    first, second = (await staged.conversations(account))[:2]
    await staged.lose(account, [*first["readable"][3:5], first["readable"][-1]])
    await staged.lose(account, second["readable"])
    expected = {first["customer_id"]: 3, second["customer_id"]: len(second["readable"])}
    assert await staged.missing(account) == expected
    assert await staged.missing(account, by_ids=True) == expected


async def test_an_erased_customer_is_not_missing(staged: Staged) -> None:
    first, second = (await staged.conversations(MESSENGER))[:2]
    for each in (first, second):
        await staged.lose(MESSENGER, each["readable"])
    await Erasures(staged.database).remember(str(key_of(MESSENGER, first["customer_id"])))
    assert await staged.missing(MESSENGER) == {second["customer_id"]: len(second["readable"])}


async def test_a_deleted_message_is_no_hole_whether_the_deletion_is_stored_or_not(staged: Staged) -> None:
    (each, *_) = await staged.conversations(MESSENGER)
    known, unheard = each["readable"][5], each["readable"][6]
    for mid in (known, unheard):
        await staged.call("act", {"act": "unsend", "message_id": mid})
    await staged.store(MESSENGER, each["customer_id"], [known], deleted_at=NOW)
    assert await staged.missing(MESSENGER) == await staged.missing(MESSENGER, by_ids=True) == {}


async def test_a_recent_message_gets_time_to_arrive(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    (each, *_) = await staged.conversations(MESSENGER)
    said = await staged.call("act", {"act": "say", "who": each["customer_id"], "text": "hello?"})
    assert await staged.missing(MESSENGER) == {each["customer_id"]: 1}, "it did not arrive in that time"

    async def arrive(_staged: Staged, seconds: float) -> None:
        assert seconds > 0
        await staged.store(MESSENGER, each["customer_id"], [said["message_id"]])

    monkeypatch.setattr(Staged, "settle", arrive)
    assert await staged.missing(MESSENGER) == {}


async def test_a_message_with_nothing_but_a_reaction_stored_is_missing(staged: Staged) -> None:
    (each, *_) = await staged.conversations(MESSENGER)
    await staged.store(MESSENGER, each["customer_id"], each["readable"][:1], times={})
    assert await staged.missing(MESSENGER) == {each["customer_id"]: 1}


async def test_messages_deleted_on_the_platform_hide_a_hole_from_numbers_but_not_from_ids(
    staged: Staged,
) -> None:
    (each, *_) = await staged.conversations(MESSENGER)
    await staged.lose(MESSENGER, each["readable"][:2])
    await staged.store(MESSENGER, each["customer_id"], ["m_old1", "m_old2"])
    assert await staged.missing(MESSENGER) == {}
    assert await staged.missing(MESSENGER, by_ids=True) == {each["customer_id"]: 2}


async def test_hidden_messages_beyond_the_recorded_number_are_missing(staged: Staged) -> None:
    (each, *_) = await staged.conversations(INSTAGRAM)
    history = History("run1", each["thread_id"], NOW, 40, HIDDEN - 4)
    await CheckpointStore(staged.database).remember(key_of(INSTAGRAM, each["customer_id"]), history)
    assert await staged.missing(INSTAGRAM) == {each["customer_id"]: 4}


async def test_uncompared_conversations_are_reported_and_gone_ones_left_out(staged: Staged) -> None:
    first, second = await staged.conversations(INSTAGRAM)
    rules = [
        {"path": first["thread_id"], "error": "unknown", "times": 99},
        {"path": second["thread_id"], "error": "gone", "times": 99},
    ]
    await staged.call("faults", rules)
    assert await staged.compare(INSTAGRAM) == [Uncompared(first["thread_id"], "transient 1")]


async def test_a_deleted_message_does_not_make_its_conversation_gone(staged: Staged) -> None:
    await staged.call("faults", [{"path": "messages", "error": "message_deleted", "times": 99}])
    assert all(isinstance(each, Uncompared) for each in await staged.compare(INSTAGRAM))
    assert len(await staged.compare(INSTAGRAM)) == 2


async def test_a_token_that_is_refused_ends_the_account_with_the_reason(staged: Staged) -> None:
    await staged.call("configure", {"revoked": True})
    (result,) = await staged.compare(MESSENGER)
    assert isinstance(result, Uncompared)
    assert result.thread_id is None
    assert "the token has expired; connect the account again" in result.reason
    await staged.call("configure", {"revoked": False})
    await staged.call("faults", [{"path": "messages", "error": "token_expired", "times": 99}])
    (result,) = await staged.compare(INSTAGRAM)
    assert isinstance(result, Uncompared)
    assert result.thread_id is None


async def test_a_platform_that_does_not_answer_is_unreachable(staged: Staged) -> None:
    staged.url = "http://127.0.0.1:1"
    with pytest.raises(UnreachableError, match="LEADSTREAM_GRAPH_URL"):
        await staged.compare(MESSENGER)


async def test_nothing_is_missing_after_a_backfill_and_a_full_run_fills_a_loss(
    leadstream: Start, simulator: dict[str, Any], stack: Stack, database: Database
) -> None:
    facebook = Facebook(simulator, stack, database)
    await facebook.add_pages(PAGE_ID)
    analyzer = leadstream("analyzer")
    assert leadstream("backfill", "run", env=facebook.env).wait() == 0
    expected = len(await facebook.readable())

    await eventually(lambda: database.messages.count_documents({}), lambda stored: stored == expected)
    analyzer.kill()
    whole = leadstream("reconcile", env=facebook.env)
    assert whole.wait() == 0, whole.output
    assert f"59 conversations: {expected:,} messages listed, {expected:,} stored" in whole.output
    lost = await database.messages.find_one({"sent_at": {"$ne": None}})
    assert lost is not None
    await database.messages.delete_one({"_id": lost["_id"]})
    status, output = await reconciling(facebook, "messenger", PAGE_ID, "--json")
    ((found,),) = [report["holes"] for report in json.loads(output)]
    assert (status, found["conversation"], found["missing"]) == (1, lost["conversation"], 1)
    status, output = await reconciling(facebook)
    assert (status, lost["customer_id"] in output) == (1, True)
    result = f"backfill run messenger {PAGE_ID} --again"
    assert result in output
    again = leadstream(*result.split(), env=facebook.env)
    leadstream("analyzer")
    assert again.wait() == 0, again.output
    await eventually(lambda: database.messages.count_documents({"_id": lost["_id"]}), bool)
    assert (await reconciling(facebook))[0] == 0
    assert (await reconciling(facebook, "messenger", "999"))[0] == 1
    assert (await reconciling(facebook, "messenger"))[0] == 2
    unreachable = {"LEADSTREAM_GRAPH_URL": "http://127.0.0.1:1", "LEADSTREAM_GRAPH_DEADLINE_SECONDS": "0.1"}
    for command in (("reconcile",), ("accounts", "check")):
        assert leadstream(*command, env={**facebook.env, **unreachable}).wait() == 3


async def reconciling(facebook: Facebook, *arguments: str) -> tuple[int, str]:
    """In this process, which has the libraries loaded."""
    app = typer.Typer()
    app.command()(reconcile)
    runner = CliRunner(env={**facebook.stack.env, **facebook.env})
    result = await asyncio.to_thread(runner.invoke, app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout
