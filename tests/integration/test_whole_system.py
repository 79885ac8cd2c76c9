"""Simulator, receiver, backfill and analyzer together, as processes with real servers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession

from shared.bus.reader import read_all
from shared.contract.contacts import Contact
from shared.contract.events import Event, load_event
from shared.domain.messages import fold_all
from shared.store.mongo import Database, open_database
from tests.conftest import Stack, Start
from tests.support.outcome import assert_versions_are_whole, published, settled
from tests.support.processes import Leadstream
from tests.support.servers import ROOT
from tests.support.topics import publish_events

Simulator = dict[str, Any]
UNCOMPARED = {"version", "created_at", "updated_at", "stage"}


class Facebook:
    """A client of the simulator's control API."""

    def __init__(self, description: Simulator, session: ClientSession) -> None:
        self.description = description
        self._session = session

    async def post(self, path: str, **body: object) -> dict[str, Any]:
        async with self._session.post(f"{self.description['graph_url']}/_simulator/{path}", json=body) as answer:
            done: dict[str, Any] = await answer.json()
            assert answer.status == 200, done
            return done

    async def act(self, **what: object) -> dict[str, Any]:
        return await self.post("act", **what)


def add_accounts(leadstream: Start, simulator: Simulator) -> None:
    for account in simulator["accounts"]:
        names = ("--name", account["name"], "--page", account["page_id"], "--pipeline", "Sales")
        added = leadstream("accounts", "add", account["platform"], account["id"], *names, stdin=account["token"])
        assert added.wait() == 0, added.output


def start_receiver(leadstream: Start, simulator: Simulator) -> tuple[Leadstream, str]:
    process = leadstream(
        "receiver", LEADSTREAM_RECEIVER_PORT="0", LEADSTREAM_APP_SECRETS=simulator["app_secret"],
        LEADSTREAM_VERIFY_TOKEN=simulator["verify_token"],
    )  # fmt: skip
    port = json.loads(process.wait_for("receiver_listening"))["port"]
    return process, f"http://127.0.0.1:{port}/webhook"


def start_backfill(leadstream: Start, simulator: Simulator) -> Leadstream:
    env = {"LEADSTREAM_GRAPH_URL": simulator["graph_url"], "LEADSTREAM_APP_SECRETS": simulator["app_secret"]}
    return leadstream("backfill", "run", "messenger", simulator["accounts"][0]["id"], **env)


async def live_story(facebook: Facebook) -> None:
    """A new customer and one with a history; an edit, an unsent message, a reaction, a duplicate and a forgery."""
    first = await facebook.act(act="say", who="Maria Santos", text="Hello, do you deliver to Baguio?")
    await facebook.act(act="say", who="Nina Valdez", text="Hi, how much is the standing desk?")
    await facebook.act(act="say", who="Maria Santos", text="Yes, every Friday.", echo=True)
    await facebook.act(act="edit", message_id=first["message_id"], text="Hello, do you deliver to Tagaytay?")
    regretted = await facebook.act(act="say", who="Nina Valdez", text="my card is 4111 1111 1111 1111")
    await facebook.act(act="unsend", message_id=regretted["message_id"])
    await facebook.act(act="react", message_id=first["message_id"])
    await facebook.act(act="say", who="Nina Valdez", text="I'll take it, my number is 0917 555 0142")
    assert (await facebook.act(act="resend"))["status"] == 200
    assert (await facebook.act(act="forge", who="Maria Santos", text="free of charge"))["status"] == 403


async def all_events(stack: Stack) -> list[Event]:
    return [load_event(record.value) for record in await read_all(stack.kafka, stack.topics.message_events)]


def comparable(contacts: dict[str, Contact]) -> dict[str, Any]:
    """Return contacts without what depends on the order of events: versions, their times, and the stage.

    The stage is the one of the first analysis (`SKIP_EXISTING`).
    """
    found = {}
    for contact_id, contact in contacts.items():
        fields = contact.model_dump(mode="json", exclude=UNCOMPARED)
        fields["analysis"].pop("analysed_at")
        found[contact_id] = fields
    return found


def another_stack(stack: Stack, name: str) -> Stack:
    """Return a stack on the same servers with another topic prefix and database."""
    prefix = f"{name}{stack.topic_prefix}"
    url = stack.servers.mongo_url(prefix.removesuffix("."))
    env = {**stack.env, "LEADSTREAM_TOPIC_PREFIX": prefix, "LEADSTREAM_MONGO_URL": url}
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.main", "setup"],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return replace(stack, topic_prefix=prefix, mongo_url=url, env=env)


@pytest.fixture
async def facebook(simulator: Simulator) -> Any:
    async with ClientSession() as session:
        yield Facebook(simulator, session)


async def test_webhook_and_backfill_interleaved_give_the_same_contacts_as_any_other_order(
    stack: Stack, database: Database, leadstream: Start, simulator: Simulator, facebook: Facebook
) -> None:
    add_accounts(leadstream, simulator)
    _, url = start_receiver(leadstream, simulator)
    await facebook.post("configure", callback=url, latency_ms=5)
    leadstream("analyzer")
    backfill = start_backfill(leadstream, simulator)
    await live_story(facebook)
    assert backfill.wait() == 0, backfill.output
    assert start_backfill(leadstream, simulator).wait() == 0, "conversations that changed meanwhile are read again"

    events = await all_events(stack)
    expected = fold_all(events)
    contacts = await settled(database, events)
    assert_versions_are_whole(await published(stack), contacts)
    assert all(contact.analysis and contact.analysis.lead_score >= 1 and contact.stage for contact in contacts.values())
    assert len(contacts) == 60
    assert "4111 1111" not in repr(expected)

    backwards = another_stack(stack, "b")
    async with open_database(backwards.mongo_url) as other:
        for collection in ("accounts", "pipelines"):
            for each in await database[collection].find({}).to_list(None):
                await other[collection].replace_one({"_id": each["_id"]}, each, upsert=True)
        await publish_events(backwards.kafka, backwards.topics.message_events, [*reversed(events), *events[::7]])
        leadstream("analyzer", **backwards.env)
        found = await settled(other, events)
        assert comparable(found) == comparable(contacts)
        await other.client.drop_database(other.name)


async def test_a_webhook_makes_a_contact_with_a_placeholder_name_and_the_backfill_names_it(
    stack: Stack, database: Database, leadstream: Start, simulator: Simulator, facebook: Facebook
) -> None:
    add_accounts(leadstream, simulator)
    _, url = start_receiver(leadstream, simulator)
    await facebook.post("configure", callback=url)
    leadstream("analyzer")
    said = await facebook.act(act="say", who="Nina Valdez", text="Hi, how much is the standing desk?")
    contact = (await settled(database, await all_events(stack)))[said["contact_id"]]
    assert contact.name.full == f"User {contact.customer_id[-6:]}"
    assert contact.analysis is not None
    assert contact.analysis.lead_score >= 1
    backfill = start_backfill(leadstream, simulator)
    assert backfill.wait() == 0, backfill.output
    contacts = await settled(database, await all_events(stack))
    assert len(contacts) == 60
    assert contacts[said["contact_id"]].name.full == "Nina Valdez"
    process = leadstream("contacts", "show", said["contact_id"], "--json")
    assert process.wait() == 0
    assert "Nina" in process.output


def test_the_demo_confirms_its_counts(tmp_path: Any) -> None:
    """Run it like a newcomer, with the embedded servers."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.main", "demo", "--exit"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "All checks passed." in done.stdout
