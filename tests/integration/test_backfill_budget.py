"""Two workers on one budget: a real database between them, and a Graph API that counts strictly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession

from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.budgets import STOP_AT_USAGE
from shared.graph_api.client import GraphClient
from shared.graph_api.errors import GraphError
from shared.graph_api.shared_governor import governor_for
from shared.store.mongo import Database, open_database
from tests.conftest import Stack
from tests.support.waiting import eventually

Simulator = dict[str, Any]


def account_of(simulator: Simulator, platform: Platform) -> Account:
    found = next(each for each in simulator["accounts"] if each["platform"] == platform)
    return Account(
        platform=platform, account_id=found["id"], page_id=found["page_id"], name=found["name"], encrypted_token="-"
    )  # fmt: skip


class Worker:
    """A worker's client for one account, with a connection of its own to the database."""

    def __init__(self, simulator: Simulator, database: Database, session: ClientSession, platform: Platform) -> None:
        self.account = account_of(simulator, platform)
        self.waits = list[float]()
        self.client = GraphClient(
            session=session,
            base_url=simulator["graph_url"],
            version="v26.0",
            token=simulator["accounts"][0]["token"],
            governor=governor_for(database, self.account, self.waits.append),
            app_secret=simulator["app_secret"],
        )

    async def list(self) -> None:
        edge = f"{self.account.page_id}/conversations"
        answer = await self.client.get(edge, {"platform": self.account.platform.value, "limit": "1"})
        assert not isinstance(answer, GraphError), answer


@asynccontextmanager
async def working(simulator: Simulator, stack: Stack, *platforms: Platform) -> AsyncIterator[list[Worker]]:
    async with AsyncExitStack() as opened:
        yield [
            Worker(
                simulator,
                await opened.enter_async_context(open_database(stack.mongo_url)),
                await opened.enter_async_context(ClientSession()),
                platform,
            )
            for platform in platforms
        ]


async def control(simulator: Simulator, what: str, body: object) -> None:
    async with ClientSession() as session, session.post(f"{simulator['graph_url']}/_simulator/{what}", json=body) as ok:
        assert ok.status == 200, await ok.text()


async def stats(simulator: Simulator) -> dict[str, int]:
    async with ClientSession() as session, session.get(f"{simulator['graph_url']}/_simulator/stats") as answer:
        found: dict[str, int] = await answer.json()
        return found


async def test_two_workers_of_one_instagram_account_never_exceed_two_calls_a_second(
    simulator: Simulator, stack: Stack
) -> None:
    async with working(simulator, stack, Platform.INSTAGRAM, Platform.INSTAGRAM) as workers:
        await asyncio.gather(*[worker.list() for worker in workers for _ in range(6)])
        assert [worker.client.calls for worker in workers] == [6, 6]
        assert [worker.waits for worker in workers] == [[], []]
    counted = await stats(simulator)
    assert (counted["throttled"], counted["crowded"], counted["while_throttled"]) == (0, 0, 0)


async def test_a_throttle_of_one_worker_stops_the_other_until_it_is_over(simulator: Simulator, stack: Stack) -> None:
    await control(simulator, "faults", [{"error": "rate_messenger", "regain_minutes": 0.05}])
    async with working(simulator, stack, Platform.MESSENGER, Platform.MESSENGER) as (one, two):
        refused = asyncio.create_task(one.list())
        await eventually(lambda: found(one.waits), bool)
        await asyncio.gather(refused, *[two.list() for _ in range(5)])
        assert one.waits == [pytest.approx(3, abs=1)]
        assert two.waits == [pytest.approx(3, abs=1)]
        assert (one.client.calls, two.client.calls) == (2, 5)
    counted = await stats(simulator)
    assert (counted["throttled"], counted["while_throttled"]) == (1, 0)


@pytest.mark.parametrize(("error", "is_stopped"), [("rate_app", True), ("rate_messenger", False)])
async def test_a_limit_of_the_app_stops_every_account_and_a_pages_that_page_alone(
    simulator: Simulator, stack: Stack, error: str, is_stopped: bool
) -> None:
    await control(simulator, "faults", [{"query": "messenger", "error": error, "regain_minutes": 5}])
    async with working(simulator, stack, Platform.MESSENGER, Platform.INSTAGRAM) as (one, other):
        refused = asyncio.create_task(one.list())
        await eventually(lambda: found(one.waits), bool)
        second = asyncio.create_task(other.list())
        await eventually(lambda: found([*other.waits, other.client.calls]), any)
        assert (bool(other.waits), other.client.calls) == ((True, 0) if is_stopped else (False, 1))
        for call in (refused, second):
            call.cancel()
        await asyncio.wait({refused, second})
    assert (await stats(simulator))["while_throttled"] == 0


async def test_a_budget_that_comes_to_its_end_is_never_overdrawn(simulator: Simulator, stack: Stack) -> None:
    await control(simulator, "configure", {"budget_calls": 100, "budget_seconds": 600})
    async with working(simulator, stack, Platform.MESSENGER, Platform.MESSENGER) as (one, two):
        for worker in (one, two) * 38:
            await worker.list()
        assert one.client.governor.pressure >= 0.75
        calls = [asyncio.create_task(worker.list()) for worker in (one, two) for _ in range(20)]
        await eventually(lambda: pressures(one, two), lambda found: max(found) >= 0.8)
        assert not all(call.done() for call in calls), "they go on, but slower and slower"
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert max(await pressures(one, two)) < STOP_AT_USAGE
    assert (await stats(simulator))["throttled"] == 0


async def pressures(*workers: Worker) -> list[float]:
    return [worker.client.governor.pressure for worker in workers]


async def found(waits: list[float]) -> list[float]:
    return waits
