"""Backfills of a simulated Facebook over real servers; the oracle is the set of message ids that it holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import ClientSession

from shared.events import ConversationCompletedEvent, ConversationListedEvent, Event, MessageEvent, load_event
from shared.kafka import read_all
from shared.mongo import Database
from tests.conftest import Stack, Start
from tests.support.processes import Leadstream
from tests.support.waiting import eventually

Simulator = dict[str, Any]


@pytest.fixture
def run_backfill(leadstream: Start, simulator: Simulator) -> Any:
    """Adds the simulator's accounts and gives a function that starts `backfill run`."""
    env = {"LEADSTREAM_GRAPH_URL": simulator["graph_url"], "LEADSTREAM_APP_SECRETS": simulator["app_secret"]}
    for account in simulator["accounts"]:
        arguments = (account["platform"], account["id"], "--name", account["name"], "--page", account["page_id"])
        assert leadstream("accounts", "add", *arguments, stdin=account["token"]).wait() == 0

    def begin(*arguments: str, **more: str) -> Leadstream:
        return leadstream("backfill", "run", *arguments, **env, **more)

    return begin


async def call(simulator: Simulator, path: str, body: object = None) -> Any:
    async with ClientSession() as session:
        method = "GET" if body is None else "POST"
        async with session.request(method, f"{simulator['graph_url']}/_simulator/{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


async def events_on(stack: Stack) -> list[Event]:
    return [load_event(record.value) for record in await read_all(stack.kafka, stack.topics.message_events)]


async def unthrottled(simulator: Simulator) -> None:
    await call(simulator, "configure", {"instagram_per_second": 0})


async def test_every_readable_message_of_every_conversation_is_published_once(
    run_backfill: Any, simulator: Simulator, stack: Stack
) -> None:
    process = run_backfill("--json")
    assert process.wait() == 0, process.output
    events, oracle = await events_on(stack), await call(simulator, "messages")
    published = [event.mid for event in events if isinstance(event, MessageEvent)]
    assert len(published) == len(set(published))
    assert set(published) == {message_id for each in oracle for message_id in each["readable"]}
    listed = [event.thread_id for event in events if isinstance(event, ConversationListedEvent)]
    assert sorted(listed) == sorted(each["thread_id"] for each in oracle)
    completed = {e.thread_id: e for e in events if isinstance(e, ConversationCompletedEvent)}
    for each in oracle:
        told = completed[each["thread_id"]]
        unreadable = len(each["ids"]) - len(each["readable"])
        assert (told.messages_read, told.messages_unavailable) == (len(each["readable"]), unreadable)
    assert len({event.event_id for event in events}) == len(events)
    assert (await call(simulator, "stats")).get("throttled", 0) == 0


async def test_a_second_run_calls_once_per_listing_page_and_publishes_nothing(
    run_backfill: Any, simulator: Simulator, stack: Stack
) -> None:
    await unthrottled(simulator)
    assert run_backfill().wait() == 0
    first, calls = await events_on(stack), await call(simulator, "stats")
    again = run_backfill("--json")
    assert again.wait() == 0
    assert len(await events_on(stack)) == len(first)
    assert (await call(simulator, "stats"))["messages"] == calls["messages"]
    runs = json.loads(again.output.splitlines()[-1])
    assert sorted(run["counters"]["conversations_unchanged"] for run in runs) == [25, 59]


async def test_only_what_has_moved_is_read_again(run_backfill: Any, simulator: Simulator, stack: Stack) -> None:
    await unthrottled(simulator)
    assert run_backfill().wait() == 0
    said = await call(simulator, "act", {"act": "say", "who": "Maria Santos", "text": "Still there?"})
    before = len(await events_on(stack))
    assert run_backfill().wait() == 0
    more = (await events_on(stack))[before:]
    events = [event for event in await events_on(stack) if isinstance(event, ConversationListedEvent)]
    assert len(events) == 59 + 25 + 1
    assert {str(event.conversation) for event in more} <= {str(event.conversation) for event in events}
    assert said["message_id"] in {e.mid for e in await events_on(stack) if isinstance(e, MessageEvent)}


FAULTS = ["unknown", "transient", "reduce_data", "reduce_data_transient"]


@pytest.mark.parametrize("error", FAULTS)
async def test_what_passes_is_tried_again_and_costs_nothing(
    run_backfill: Any, simulator: Simulator, stack: Stack, error: str
) -> None:
    await unthrottled(simulator)
    rules = [
        {"path": "/messages", "error": error, "skip": 5, "times": 3},
        {"path": "/conversations", "error": error, "times": 1},
        {"path": "/messages", "effect": "html", "skip": 15},
        {"path": "/messages", "effect": "truncate", "skip": 20},
        {"path": "/messages", "effect": "reset", "skip": 25},
        {"path": "/messages", "effect": "error_in_200", "skip": 30},
    ]
    await call(simulator, "faults", rules)
    process = run_backfill()
    assert process.wait() == 0, process.output
    published = {event.mid for event in await events_on(stack) if isinstance(event, MessageEvent)}
    assert published == {mid for each in await call(simulator, "messages") for mid in each["readable"]}


async def test_a_conversation_that_is_gone_makes_the_run_partial_and_is_not_completed(
    run_backfill: Any, simulator: Simulator, stack: Stack
) -> None:
    await unthrottled(simulator)
    await call(simulator, "faults", [{"path": "/messages", "error": "gone", "times": 1}])
    process = run_backfill("--json")
    assert process.wait() == 1
    runs = json.loads(process.output.splitlines()[-1])
    assert sorted(run["state"] for run in runs) == ["COMPLETED", "PARTIAL"]
    (failure,) = [failure for run in runs for failure in run["failures"]]
    assert failure["reason"].startswith("gone 100/2534001")
    completed = {e.thread_id for e in await events_on(stack) if isinstance(e, ConversationCompletedEvent)}
    assert failure["thread_id"] not in completed


async def test_a_token_that_dies_mid_run_stops_the_account_at_once_and_says_what_to_do(
    run_backfill: Any, simulator: Simulator, stack: Stack
) -> None:
    await unthrottled(simulator)
    await call(simulator, "faults", [{"path": "/messages", "error": "token_expired", "skip": 20, "times": 100}])
    process = run_backfill("--json")
    assert process.wait() == 1
    runs = json.loads(process.output.splitlines()[-1])
    assert {run["state"] for run in runs} == {"FAILED"}
    assert all("connect the account again" in run["reason"] for run in runs)
    assert (await call(simulator, "stats"))["messages"] < 60
    assert simulator["accounts"][0]["token"] not in process.output


async def test_a_listing_that_fails_is_not_an_empty_account(run_backfill: Any, simulator: Simulator) -> None:
    await call(simulator, "faults", [{"path": "/conversations", "error": "permission", "times": 100}])
    process = run_backfill("--json")
    assert process.wait() == 1
    runs = json.loads(process.output.splitlines()[-1])
    assert {run["state"] for run in runs} == {"FAILED"}
    assert all("could not be listed" in run["reason"] for run in runs)


async def test_a_killed_run_is_taken_over_and_reads_no_conversation_twice(
    run_backfill: Any, simulator: Simulator, stack: Stack, database: Database
) -> None:
    await call(simulator, "configure", {"instagram_per_second": 0, "latency_ms": 20})
    first = run_backfill()

    async def read() -> int:
        return await database.conversations.count_documents({"history": {"$exists": True}})

    await eventually(read, lambda number: number >= 10)
    first.kill()
    done = {each["_id"] async for each in database.conversations.find({"history": {"$exists": True}})}
    assert run_backfill().wait() == 1, "a run that may still be alive is left alone"
    await database.sync_runs.update_many({}, [{"$set": {"heartbeat_at": {"$subtract": ["$heartbeat_at", 60_000]}}}])
    before = [run["_id"] async for run in database.sync_runs.find({})]
    process = run_backfill()
    assert process.wait() == 0, process.output
    assert [run["_id"] async for run in database.sync_runs.find({})] == before
    events = await events_on(stack)
    published = {event.mid for event in events if isinstance(event, MessageEvent)}
    assert published == {mid for each in await call(simulator, "messages") for mid in each["readable"]}
    for key in done:
        listed = [e for e in events if isinstance(e, ConversationListedEvent) and str(e.conversation) == key]
        assert len(listed) == 1


async def test_an_interrupted_run_is_cancelled_and_the_next_goes_on(
    run_backfill: Any, simulator: Simulator, database: Database
) -> None:
    await call(simulator, "configure", {"instagram_per_second": 0, "latency_ms": 50})
    process = run_backfill()

    async def read() -> int:
        return await database.conversations.count_documents({"history": {"$exists": True}})

    await eventually(read, lambda number: number >= 3)
    process.terminate()
    states = [run["state"] async for run in database.sync_runs.find({})]
    assert states == ["CANCELLED", "CANCELLED"]
    await call(simulator, "configure", {"latency_ms": 0})
    assert run_backfill().wait() == 0


async def test_tokens_are_encrypted_at_rest(run_backfill: Any, simulator: Simulator, database: Database) -> None:
    stored = json.dumps([each async for each in database.accounts.find({})], default=str)
    assert simulator["accounts"][0]["token"] not in stored


def test_an_instagram_account_without_its_page_is_wrong_usage(leadstream: Start) -> None:
    assert leadstream("accounts", "add", "instagram", "1784", "--name", "x", stdin="t").wait() == 2
    assert leadstream("accounts", "add", "messenger", "1", "--name", "x", stdin="").wait() == 2
    assert leadstream("backfill", "run", "messenger", "1").wait() == 1
