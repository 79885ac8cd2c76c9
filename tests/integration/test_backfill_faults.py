"""Every refusal of the Graph API at every kind of page, over a real broker and database.

The oracle is the simulator's set of message ids: what a crawl says that it has read in full, it has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from services.backfill.crawl.crawl import AccountStoppedError
from services.backfill.runs.progress import CrawlProgress
from shared.store.mongo import Database
from tests.conftest import Stack
from tests.support.crawling import Crawling, crawling

CONVERSATIONS, MESSAGES = 6, 9

PAGES = {
    "the first of the listing": {"path": "/conversations"},
    "a later one of the listing": {"path": "/conversations", "query": "after="},
    "the first of a conversation": {"path": "/messages"},
    "a later one of a conversation": {"path": "/messages", "query": "after="},
}
PASSES = [
    "unknown", "transient", "reduce_data", "reduce_data_transient", "rate_app", "rate_user", "rate_page", "rate_pages",
    "rate_instagram", "rate_messenger", "rate_calls", "341", "613/1996", "80014", "999999",
]  # fmt: skip
BREAKS = ["html", "truncate", "cut", "reset", "error_in_200"]
GONE = ["gone", "missing", "user_gone", "230"]
STOPS = [
    "capability", "permission", "10", "299", "blocked", "abuse", "token_removed", "token_expired", "token_invalid",
    "190/459", "190/460", "190/464", "190/467", "190/492", "190/493", "102", "no_token", "bad_fields",
]  # fmt: skip
LASTS = ["unknown", "transient", "reduce_data", "message_deleted"]


@pytest.fixture
async def facebook(stack: Stack, database: Database) -> AsyncIterator[Crawling]:
    async with crawling(stack, database, CONVERSATIONS, MESSAGES) as facebook:
        yield facebook


@pytest.fixture(params=list(PAGES))
def page(request: pytest.FixtureRequest) -> dict[str, str]:
    return PAGES[request.param]


async def read(facebook: Crawling, name: str, *rules: dict[str, Any], **more: Any) -> CrawlProgress:
    """Set the faults, then read the account `name`, which no crawl has read before."""
    await facebook.call("faults", list(rules))
    return await facebook.read(facebook.page(name), **more)


async def assert_true(facebook: Crawling, name: str, *, skipped: int = 0) -> set[str]:
    """Assert that completed threads were read in full, and the rest but for `skipped` ones. Return the completed."""
    oracle, acknowledged = await facebook.oracle(), set(facebook.acknowledged[name])
    completed = facebook.completed[name]
    for thread_id in completed:
        assert oracle[thread_id] <= acknowledged, f"{name}: {thread_id} was not read in full"
    assert len(completed) == CONVERSATIONS - skipped, name
    return completed


async def test_temporary_faults_lose_nothing(facebook: Crawling, page: dict[str, str]) -> None:
    faults: dict[str, dict[str, Any]] = {error: {"error": error, "regain_minutes": 0.0005} for error in PASSES}
    faults |= {effect: {"effect": effect} for effect in BREAKS}
    for name, fault in faults.items():
        progress = await read(facebook, name, {**page, **fault})
        await assert_true(facebook, name)
        assert progress.counters.conversations_read == CONVERSATIONS, name
        assert len(facebook.acknowledged[name]) == CONVERSATIONS * MESSAGES, name
    await assert_on_topic(facebook)


async def assert_on_topic(facebook: Crawling) -> None:
    """All that was acknowledged is there."""
    events = [orjson.loads(value) for value in await facebook.on_topic()]
    there = {(event["account_id"], event["mid"]) for event in events if event["kind"] == "message"}
    assert there == {(name, mid) for name, mids in facebook.acknowledged.items() for mid in mids}


async def test_a_fatal_refusal_stops_the_account_at_once_and_the_next_run_reads_the_rest(
    facebook: Crawling, page: dict[str, str]
) -> None:
    for error in STOPS + (["100", *GONE] if page == PAGES["the first of the listing"] else []):
        name = error
        before = sum((await facebook.call("stats")).values())
        with pytest.raises(AccountStoppedError):
            await read(facebook, name, {**page, "error": error, "times": 1_000}, parallelism=2)
        calls = sum((await facebook.call("stats")).values()) - before
        assert calls <= 1 + 2 * 3 + 2 * 3, f"{name}: it went on for {calls} calls"
        oracle, acknowledged = await facebook.oracle(), set(facebook.acknowledged[name])
        assert all(oracle[thread_id] <= acknowledged for thread_id in facebook.completed[name])
        await read(facebook, name, run_id="next")
        assert set(facebook.acknowledged[name]) == set().union(*oracle.values()), name


async def test_a_conversation_that_is_gone_is_skipped(facebook: Crawling) -> None:
    for kind in ("the first of a conversation", "a later one of a conversation"):
        for error in GONE:
            name = f"{error} {kind}"
            progress = await read(facebook, name, {**PAGES[kind], "error": error})
            counters = progress.counters
            assert (counters.conversations_gone, counters.conversations_failed) == (1, 0), name
            await assert_true(facebook, name, skipped=1)


async def test_a_permanent_fault_fails_its_conversation_alone_and_the_next_run_reads_it(
    facebook: Crawling,
) -> None:
    thread_id, *_ = await facebook.oracle()
    for query in ("", "after="):
        for error in LASTS:
            name = f"{error}{query}"
            rule = {"path": f"{thread_id}/messages", "query": query, "error": error, "times": 1_000}
            progress = await read(facebook, name, rule, deadline_seconds=0.0)
            assert [failure.thread_id for failure in progress.failures] == [thread_id], name
            assert thread_id not in await assert_true(facebook, name, skipped=1)
            progress = await read(facebook, name, run_id="next")
            assert progress.counters.conversations_read == 1, name
            await assert_true(facebook, name)


async def test_an_expired_cursor_loses_nothing(facebook: Crawling) -> None:
    for kind in ("a later one of the listing", "a later one of a conversation"):
        progress = await read(facebook, kind, {**PAGES[kind], "error": "bad_cursor"})
        await assert_true(facebook, kind)
        counters = progress.counters
        assert (counters.conversations_listed, counters.conversations_read) == (CONVERSATIONS, CONVERSATIONS)


async def test_a_listing_that_lastingly_fails_is_not_an_empty_account(facebook: Crawling) -> None:
    for kind in ("the first of the listing", "a later one of the listing"):
        for error in ("unknown", "transient", "reduce_data", "bad_cursor"):
            rule = {**PAGES[kind], "error": error, "times": 1_000}
            with pytest.raises(AccountStoppedError, match="could not be listed"):
                await read(facebook, f"{error} {kind}", rule, deadline_seconds=0.0)
