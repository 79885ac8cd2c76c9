"""Backfills of a simulated Facebook over real servers; the oracle is the set of message ids that it holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import ClientSession

from shared.bus.reader import read_all
from shared.contract.events import ConversationCompletedEvent, ConversationListedEvent, Event, MessageEvent, load_event
from shared.store.mongo import Database
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

    def begin(*arguments: str, **settings: str) -> Leadstream:
        return leadstream("backfill", "run", *arguments, env=env, **settings)

    return begin


async def call(simulator: Simulator, path: str, body: object = None) -> Any:
    async with ClientSession() as session:
        method = "GET" if body is None else "POST"
        async with session.request(method, f"{simulator['graph_url']}/_simulator/{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


async def events_on(stack: Stack) -> list[Event]:
    return [load_event(record.value) for record in await read_all(stack.kafka, stack.topics.message_events)]


def messenger(simulator: Simulator) -> tuple[str, str]:
    """Names the Messenger account alone, where Instagram's two calls a second would only take time."""
    return "messenger", next(each["id"] for each in simulator["accounts"] if each["platform"] == "messenger")


async def conversations_read(database: Database) -> int:
    return await database.conversations.count_documents({"history": {"$exists": True}})


def runs_of(process: Leadstream) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads(process.output.splitlines()[-1])
    return runs


def mids(events: list[Event]) -> set[str]:
    return {event.mid for event in events if isinstance(event, MessageEvent)}


async def readable(simulator: Simulator, platform: str = "messenger") -> set[str]:
    oracle = await call(simulator, "messages")
    return {mid for each in oracle if each["platform"] == platform for mid in each["readable"]}


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
        end = completed[each["thread_id"]]
        unreadable = len(each["ids"]) - len(each["readable"])
        assert (end.messages_read, end.messages_unavailable) == (len(each["readable"]), unreadable)
    assert len({event.event_id for event in events}) == len(events)
    stats = await call(simulator, "stats")
    assert stats.pop("throttled") == stats.pop("while_throttled") == 0
    del stats["crowded"]  # how close calls arrive is the concern of test_backfill_budget
    counted = [run["counters"] for run in runs_of(process)]
    assert sum(each["messages_published"] for each in counted) == len(published)
    assert sum(each["calls"] for each in counted) == sum(stats.values())


async def test_a_second_run_calls_once_per_listing_page_and_publishes_nothing(
    run_backfill: Any, simulator: Simulator, stack: Stack
) -> None:
    assert run_backfill(*messenger(simulator)).wait() == 0
    first, calls = await events_on(stack), await call(simulator, "stats")
    again = run_backfill(*messenger(simulator), "--json")
    assert again.wait() == 0
    assert len(await events_on(stack)) == len(first)
    assert (await call(simulator, "stats"))["messages"] == calls["messages"]
    (run,) = runs_of(again)
    assert (run["counters"]["conversations_unchanged"], run["counters"]["calls"]) == (59, 1)


async def test_only_what_has_moved_is_read_again(run_backfill: Any, simulator: Simulator, stack: Stack) -> None:
    assert run_backfill(*messenger(simulator)).wait() == 0
    said = await call(simulator, "act", {"act": "say", "who": "Maria Santos", "text": "Still there?"})
    before = await events_on(stack)
    assert run_backfill(*messenger(simulator)).wait() == 0
    known = {event.event_id for event in before if isinstance(event, ConversationListedEvent)}
    listed = [e for e in await events_on(stack) if isinstance(e, ConversationListedEvent) and e.event_id not in known]
    assert len(listed) == 1
    assert mids(await events_on(stack)) - mids(before) == {said["message_id"]}


async def test_temporary_faults_are_retried_and_lose_nothing(
    run_backfill: Any, simulator: Simulator, stack: Stack
) -> None:
    rules = [
        {"path": "/messages", "error": "reduce_data", "skip": 5, "times": 3},
        {"path": "/conversations", "error": "transient", "times": 1},
        {"path": "/messages", "effect": "html", "skip": 15},
        {"path": "/messages", "effect": "reset", "skip": 25},
    ]
    await call(simulator, "faults", rules)
    process = run_backfill(*messenger(simulator))
    assert process.wait() == 0, process.output
    assert mids(await events_on(stack)) == await readable(simulator)


async def test_a_conversation_that_is_gone_makes_the_run_partial_and_is_not_completed(
    run_backfill: Any, simulator: Simulator, stack: Stack
) -> None:
    await call(simulator, "faults", [{"path": "/messages", "error": "gone", "times": 1}])
    process = run_backfill(*messenger(simulator), "--json")
    assert process.wait() == 1, process.output
    (run,) = runs_of(process)
    assert (run["state"], run["counters"]["conversations_gone"]) == ("PARTIAL", 1)
    completed = {e.thread_id for e in await events_on(stack) if isinstance(e, ConversationCompletedEvent)}
    assert len(completed) == 58


async def test_a_token_that_expires_mid_run_stops_the_account_at_once_with_advice(
    run_backfill: Any, simulator: Simulator
) -> None:
    await call(simulator, "faults", [{"path": "/messages", "error": "token_expired", "skip": 20, "times": 100}])
    process = run_backfill(*messenger(simulator), "--json")
    assert process.wait() == 1
    (run,) = runs_of(process)
    assert run["state"] == "FAILED"
    assert "connect the account again" in run["reason"]
    assert (await call(simulator, "stats"))["messages"] <= 20 + 8
    assert all(account["token"] not in process.output for account in simulator["accounts"])


async def test_a_listing_that_fails_is_not_an_empty_account(run_backfill: Any, simulator: Simulator) -> None:
    await call(simulator, "faults", [{"path": "/conversations", "error": "permission", "times": 100}])
    process = run_backfill("--json")
    assert process.wait() == 1
    runs = runs_of(process)
    assert [run["state"] for run in runs] == ["FAILED", "FAILED"]
    assert all("could not be listed" in run["reason"] for run in runs)


async def test_a_killed_run_is_taken_over_and_reads_no_conversation_twice(
    run_backfill: Any, simulator: Simulator, stack: Stack, database: Database
) -> None:
    await call(simulator, "configure", {"latency_ms": 20})
    first = run_backfill(*messenger(simulator))
    await eventually(lambda: conversations_read(database), lambda number: number >= 10)
    first.kill()
    done = {each["_id"] async for each in database.conversations.find({"history": {"$exists": True}})}
    refused = run_backfill(*messenger(simulator))
    assert refused.wait() == 1, "a run that may still be alive is left alone"
    assert "is backfilling messenger:" in refused.output
    await database.sync_runs.update_many({}, [{"$set": {"heartbeat_at": {"$subtract": ["$heartbeat_at", 60_000]}}}])
    before = [run["_id"] async for run in database.sync_runs.find({})]
    process = run_backfill(*messenger(simulator))
    assert process.wait() == 0, process.output
    assert [run["_id"] async for run in database.sync_runs.find({})] == before
    events = await events_on(stack)
    assert mids(events) == await readable(simulator)
    for key in done:
        listed = [e for e in events if isinstance(e, ConversationListedEvent) and str(e.conversation) == key]
        assert len(listed) == 1


async def test_an_interrupted_run_is_cancelled_and_the_next_continues(
    run_backfill: Any, simulator: Simulator, stack: Stack, database: Database
) -> None:
    await call(simulator, "configure", {"latency_ms": 50})
    process = run_backfill(*messenger(simulator))
    await eventually(lambda: conversations_read(database), lambda number: number >= 3)
    assert process.terminate() == 1
    assert [run["state"] async for run in database.sync_runs.find({})] == ["CANCELLED"]
    assert "CANCELLED" in process.output
    await call(simulator, "configure", {"latency_ms": 0})
    assert run_backfill(*messenger(simulator)).wait() == 0
    assert mids(await events_on(stack)) == await readable(simulator)


async def test_a_broker_that_goes_away_and_comes_back_loses_nothing(
    run_backfill: Any, simulator: Simulator, stack: Stack, database: Database
) -> None:
    await call(simulator, "configure", {"latency_ms": 30})
    process = run_backfill(*messenger(simulator))
    await eventually(lambda: conversations_read(database), lambda number: number >= 3)
    stack.servers.restart_kafka()
    assert process.wait() == 0, process.output
    assert mids(await events_on(stack)) == await readable(simulator)


async def test_a_run_can_be_interrupted_while_the_broker_is_away(
    run_backfill: Any, simulator: Simulator, stack: Stack, database: Database
) -> None:
    await call(simulator, "configure", {"latency_ms": 30})
    process = run_backfill(*messenger(simulator))
    await eventually(lambda: conversations_read(database), lambda number: number >= 3)
    stack.servers.stop_kafka()
    try:
        assert process.terminate(timeout_seconds=10) == 1
        assert [run["state"] async for run in database.sync_runs.find({})] == ["CANCELLED"]
    finally:
        stack.servers.start_kafka()


async def test_tokens_are_encrypted_at_rest(run_backfill: Any, simulator: Simulator, database: Database) -> None:
    stored = json.dumps([each async for each in database.accounts.find({})], default=str)
    assert simulator["accounts"][0]["token"] not in stored


async def test_a_busy_account_does_not_block_another_accounts_run(
    run_backfill: Any, simulator: Simulator, database: Database
) -> None:
    await call(simulator, "faults", [{"query": "platform=messenger", "effect": "delay", "delay_ms": 20_000}])
    busy = run_backfill(*messenger(simulator))

    async def active() -> int:
        return await database.sync_runs.count_documents({"active": True})

    await eventually(active, lambda number: number == 1)
    both = run_backfill("--json")
    assert both.wait() == 1
    (run,) = runs_of(both)
    assert (run["platform"], run["state"]) == ("instagram", "COMPLETED")
    assert await active() == 1, "the busy one's"
    busy.kill()


async def test_runs_and_accounts_are_shown(leadstream: Start, run_backfill: Any, simulator: Simulator) -> None:
    done = run_backfill(*messenger(simulator), "--json")
    assert done.wait() == 0
    (run,) = runs_of(done)
    listed, shown, unknown = (
        leadstream("backfill", *arguments) for arguments in (("list",), ("show", run["run_id"][:8]), ("show", "zz"))
    )
    accounts = leadstream("accounts", "list", "--json")
    assert [process.wait() for process in (listed, shown, unknown, accounts)] == [0, 0, 1, 0]
    assert run["run_id"][:8] in listed.output
    assert json.loads(shown.output) | {"heartbeat_at": None} == run | {"heartbeat_at": None}
    assert {each["account_id"] for each in json.loads(accounts.output)} == {
        each["id"] for each in simulator["accounts"]
    }
    assert "token" not in accounts.output
