"""Governors that share budgets, with a clock that only their sleeping advances."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.contract.ids import Platform
from shared.domain.budgets import PROBE_SECONDS, Budget
from shared.graph_api.errors import ErrorKind, GraphError, Scope
from shared.graph_api.rate_governor import (
    INSTAGRAM_SPACING_SECONDS,
    MAX_SLOT_DELAY_SECONDS,
    BudgetClient,
    BudgetGovernor,
)
from shared.graph_api.usage import Usage
from tests.support.governors import MemoryBudgetStore

NOTHING = Usage()
LEAST_SECONDS = 1e-9
"""Minimum of a sleep, so that a float's rounding error does not cause endless sleeps."""


@dataclass
class Time:
    """Time advances only when all tasks sleep: the earliest one wakes, `oversleeps` seconds late."""

    now: float = 1000.0
    oversleeps: Iterator[float] | None = None
    sleepers: list[tuple[float, asyncio.Event]] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        late = next(self.oversleeps, 0.0) if self.oversleeps else 0.0
        woken = asyncio.Event()
        self.sleepers.append((self.now + max(seconds, LEAST_SECONDS) + late, woken))
        await woken.wait()

    async def pass_until(self, done: asyncio.Future[Any]) -> None:
        while not done.done():
            for _ in range(50):
                await asyncio.sleep(0)
            if self.sleepers and not done.done():
                self.sleepers.sort(key=lambda each: each[0])
                at, woken = self.sleepers.pop(0)
                self.now = max(self.now, at)
                woken.set()


class CountingStore(MemoryBudgetStore):
    reads = 0
    writes = 0

    async def read(self) -> Budget:
        self.reads += 1
        await asyncio.sleep(0)
        return await MemoryBudgetStore.read(self)

    async def replace(self, new: Budget) -> bool:
        self.writes += 1
        await asyncio.sleep(0)
        return await MemoryBudgetStore.replace(self, new)


@dataclass
class World:
    """The shared state of an app and one of its accounts, and the times of admitted calls."""

    time: Time = field(default_factory=Time)
    waits: list[float] = field(default_factory=list)
    admitted: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app, self.account = CountingStore(self.time), CountingStore(self.time)

    def governor(self, platform: Platform = Platform.MESSENGER, account: CountingStore | None = None) -> BudgetGovernor:
        least = INSTAGRAM_SPACING_SECONDS if platform is Platform.INSTAGRAM else 0.0
        own = BudgetClient(account or self.account, least)
        return BudgetGovernor(BudgetClient(self.app), own, self.waits.append, self.time.sleep)

    async def call(self, governor: BudgetGovernor, usage: Usage = NOTHING, error: GraphError | None = None) -> None:
        await governor.acquire()
        self.admitted.append(self.time.now)
        await governor.record_answer(usage, error)

    async def run(self, *calls: tuple[BudgetGovernor, int], usage: Usage = NOTHING) -> None:
        """Make this many concurrent calls with each governor."""
        tasks = [self.call(governor, usage) for governor, number in calls for _ in range(number)]
        done = asyncio.ensure_future(asyncio.gather(*tasks))
        await self.time.pass_until(done)
        await done

    @property
    def gaps(self) -> list[float]:
        return [after - before for before, after in zip(self.admitted, self.admitted[1:], strict=False)]


@pytest.fixture
def world() -> World:
    return World()


def throttled(scope: Scope, seconds: float | None = None) -> GraphError:
    return GraphError(ErrorKind.THROTTLED, 4, status=400, scope=scope, retry_after_seconds=seconds)


async def test_below_75_percent_a_call_neither_waits_nor_reads_the_store(world: World) -> None:
    governor = world.governor()
    for _ in range(100):
        await world.call(governor, Usage(app=0.74, account=0.2))
    assert world.gaps == [0] * 99
    assert (world.app.reads, world.account.reads) == (1, 1)
    assert (world.app.writes, world.account.writes) == (0, 0)
    assert governor.pressure == 0.74


async def test_two_workers_make_at_most_two_instagram_calls_a_second(world: World) -> None:
    one, two = (world.governor(Platform.INSTAGRAM) for _ in range(2))
    await world.run((one, 20), (two, 20))
    assert min(world.gaps) == pytest.approx(INSTAGRAM_SPACING_SECONDS)
    assert max(world.gaps) == pytest.approx(INSTAGRAM_SPACING_SECONDS)


async def test_late_wake_ups_never_make_three_instagram_calls_a_second(world: World) -> None:
    world.time.oversleeps = iter([0.0, 0.029, 0.0, 0.2, 0.031, 0.0, 0.5, 0.01] * 20)
    one, two = (world.governor(Platform.INSTAGRAM) for _ in range(2))
    await world.run((one, 20), (two, 20))
    assert len(world.admitted) == 40
    assert min(after - before for before, after in zip(world.admitted, world.admitted[2:], strict=False)) >= 1


async def test_the_spacing_uses_more_than_95_percent_of_instagrams_rate() -> None:
    assert 2 * INSTAGRAM_SPACING_SECONDS - MAX_SLOT_DELAY_SECONDS > 1
    assert 0.5 / INSTAGRAM_SPACING_SECONDS > 0.95


async def test_from_75_percent_workers_share_slots_with_growing_spacing(world: World) -> None:
    one, two = world.governor(), world.governor()
    await world.call(one, Usage(account=0.85))
    world.time.now += 1
    await world.run((one, 5), (two, 5), usage=Usage(account=0.85))
    assert world.gaps[1:] == pytest.approx([1.0] * 9)
    await world.run((two, 1), usage=Usage(account=0.90))
    await world.run((two, 3), usage=Usage(account=0.90))
    assert world.gaps[-2:] == pytest.approx([10**0.5] * 2)


async def test_an_apps_usage_slows_all_its_accounts(world: World) -> None:
    one, other = world.governor(), world.governor(account=CountingStore(world.time))
    await world.call(one, Usage(app=0.85))
    world.time.now += 1
    await world.run((one, 3), (other, 3))
    assert world.gaps[1:] == pytest.approx([1.0] * 5)
    assert other.pressure == 0.85


@pytest.mark.parametrize("scope", [Scope.APP, Scope.USER])
async def test_a_throttled_app_stops_all_accounts(world: World, scope: Scope) -> None:
    one, other = world.governor(), world.governor(account=CountingStore(world.time))
    await world.call(one, error=throttled(scope, 300))
    await world.run((other, 1))
    assert world.gaps == [pytest.approx(300)]
    assert world.waits == [300]


async def test_a_throttled_account_stops_only_itself(world: World) -> None:
    one, other = world.governor(), world.governor(account=CountingStore(world.time))
    await world.call(one, error=throttled(Scope.ACCOUNT, 300))
    await world.run((other, 1))
    await world.run((one, 1))
    assert world.gaps == [0, pytest.approx(300)]


async def test_a_throttle_reported_to_one_worker_stops_the_other_within_a_second(world: World) -> None:
    one, two = world.governor(), world.governor()
    await world.call(two)
    await world.call(one, error=throttled(Scope.ACCOUNT, 300))
    world.time.now += 1
    assert two.pressure == 0
    await world.run((two, 1))
    assert world.gaps == [0, pytest.approx(300)]


async def test_one_worker_probes_and_the_others_wait_for_its_answer(world: World) -> None:
    one, two = world.governor(), world.governor()
    await world.call(one, error=throttled(Scope.ACCOUNT, 300))
    probes = [asyncio.ensure_future(governor.acquire()) for governor in (one, two) for _ in range(4)]
    first = asyncio.ensure_future(asyncio.wait(probes, return_when=asyncio.FIRST_COMPLETED))
    await world.time.pass_until(first)
    world.time.now += PROBE_SECONDS / 2
    for _ in range(50):
        await asyncio.sleep(0)
    (prober,) = [governor for governor, probe in zip([one] * 4 + [two] * 4, probes, strict=True) if probe.done()]
    await prober.record_answer(NOTHING, None)
    rest = asyncio.ensure_future(asyncio.gather(*probes))
    await world.time.pass_until(rest)
    assert world.account.budget.refusals == 0


async def test_a_refused_probe_makes_all_wait_longer(world: World) -> None:
    governor = world.governor()
    await world.call(governor, error=throttled(Scope.ACCOUNT))
    for _ in range(2):
        done = asyncio.ensure_future(world.call(governor, error=throttled(Scope.ACCOUNT)))
        await world.time.pass_until(done)
    await world.run((governor, 1))
    assert world.gaps == pytest.approx([60, 120, 240])
    assert world.waits == pytest.approx([60, 120, 240])


async def test_at_95_percent_all_stop_until_a_probe_reports_less(world: World) -> None:
    governor = world.governor()
    await world.call(governor, Usage(account=0.95))
    assert governor.pressure == 1
    await world.run((governor, 1), usage=Usage(account=0.5))
    assert world.gaps == pytest.approx([60])
    await world.run((governor, 5))
    assert governor.pressure == 0.5


async def test_an_unanswered_call_does_not_end_a_throttle(world: World) -> None:
    governor = world.governor()
    await world.call(governor, error=throttled(Scope.ACCOUNT))
    for _ in range(2):
        done = asyncio.ensure_future(world.call(governor, error=GraphError(ErrorKind.TRANSIENT)))
        await world.time.pass_until(done)
        assert world.account.budget.is_shut
    await world.run((governor, 1))
    assert not world.account.budget.is_shut


async def test_a_cancelled_wait_does_not_block_others(world: World) -> None:
    governor = world.governor(Platform.INSTAGRAM)
    await world.run((governor, 1))
    waiting = asyncio.create_task(governor.acquire())
    for _ in range(50):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    await world.run((governor, 2))
    assert len(world.admitted) == 3
