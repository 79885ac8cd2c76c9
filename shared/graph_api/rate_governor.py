"""Who says when a call to the platform may be made, so that no budget is ever spent beyond its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from shared.contract.ids import Platform
from shared.domain.budgets import (
    SLOW_FROM_USAGE,
    UNKNOWN_BUDGET,
    Budget,
    UsageReport,
    apply_report,
    reserve_slot,
    spacing_seconds,
    start_probe,
)
from shared.graph_api.errors import ErrorKind, GraphError, Scope
from shared.graph_api.usage import Usage

Sleep = Callable[[float], Awaitable[None]]
OnWait = Callable[[float], None]

MAX_BUDGET_AGE_SECONDS = 1.0
"""What others have heard is known here so soon."""
INSTAGRAM_SPACING_SECONDS = 0.52
"""Instagram allows two calls a second for an account. With this spacing, and each call at most MAX_SLOT_DELAY_SECONDS
after its slot, no second contains three calls.

Source: https://developers.facebook.com/docs/graph-api/overview/rate-limiting."""
MAX_SLOT_DELAY_SECONDS = 0.03
FIRST_LEAD_SECONDS, MAX_LEAD_SECONDS = 0.05, 1.0


class Governor(Protocol):
    """The budgets that the calls for one account are spent from."""

    async def acquire(self) -> None:
        """Returns when a call may be made; the call must follow at once, and its answer must be heard."""

    async def record_answer(self, usage: Usage, error: GraphError | None) -> None:
        """What every answer said, and every call that got none."""

    @property
    def pressure(self) -> float:
        """The highest share of a budget that is known to be used, 1.0 or more while calls must wait."""


class BudgetStore(Protocol):
    """Where a budget's state is, for all who share it, and their one clock."""

    def now(self) -> float: ...

    async def read(self) -> Budget: ...

    async def replace(self, new: Budget) -> bool:
        """False when the state is no more that of the version before."""


@dataclass(slots=True)
class MemoryBudgetStore:
    """For those who share a process."""

    now: Callable[[], float] = time.monotonic
    budget: Budget = UNKNOWN_BUDGET

    async def read(self) -> Budget:
        return self.budget

    async def replace(self, new: Budget) -> bool:
        is_next = new.version == self.budget.version + 1
        if is_next:
            self.budget = new
        return is_next


@dataclass(slots=True)
class BudgetClient:
    """One budget as this process knows it. `min_spacing_seconds` is how far its calls are apart at the least."""

    store: BudgetStore
    min_spacing_seconds: float = 0.0
    budget: Budget = UNKNOWN_BUDGET
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _read_at: float | None = None
    _lead_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._lead_seconds = FIRST_LEAD_SECONDS if self.min_spacing_seconds > 0 else 0.0

    async def refresh(self) -> None:
        """Reads what others have heard, once however many ask."""
        async with self._lock:
            if self.is_stale:
                self.budget = await self.store.read()
                self._read_at = self.store.now()

    @property
    def is_stale(self) -> bool:
        return self._read_at is None or self.store.now() - self._read_at >= MAX_BUDGET_AGE_SECONDS

    @property
    def wait_seconds(self) -> float:
        return self.budget.shut_until - self.store.now() if self.budget.is_shut else 0.0

    @property
    def is_spaced(self) -> bool:
        return self.min_spacing_seconds > 0 or spacing_seconds(self.budget.usage) > 0

    async def probe(self) -> bool:
        """Whether the one probe is ours to make. Others who share the budget may have been before us."""
        return await self._change(lambda budget: start_probe(budget, self.store.now()))

    async def hear(self, record_answer: UsageReport) -> None:
        """Told to the others only where they must go slower for it, or may go faster."""
        async with self._lock:
            new = apply_report(self.budget, record_answer, self.store.now())
            matters = replace(new, usage=0.0) != replace(self.budget, usage=0.0)
            if not matters and max(new.usage, self.budget.usage) < SLOW_FROM_USAGE:
                self.budget = new
                return
        await self._change(lambda budget: apply_report(budget, record_answer, self.store.now()))

    async def reserve(self) -> float:
        """The slot of a call, which no other has. A strict one is ahead by twice what the last reservation took: where
        calls must be apart it would be late otherwise."""
        began = self.store.now()
        await self._change(
            lambda budget: reserve_slot(budget, self.store.now() + self._lead_seconds, self.min_spacing_seconds)
        )
        if self.min_spacing_seconds > 0:
            self._lead_seconds = min(2 * (self.store.now() - began), MAX_LEAD_SECONDS)
        return self.budget.last_slot

    async def _change(self, by: Callable[[Budget], Budget]) -> bool:
        """Compares and sets until nobody was quicker. False when, by what is known then, there is nothing to change."""
        async with self._lock:
            while (new := by(self.budget)) != self.budget:
                new = replace(new, version=self.budget.version + 1)
                if await self.store.replace(new):
                    self.budget = new
                    return True
                self.budget = await self.store.read()
                self._read_at = self.store.now()
            return False


@dataclass(slots=True)
class BudgetGovernor:
    """Waits for the app's budget and for the account's.

    Below 75 % nothing is asked of anyone; from there on calls take slots, ever farther apart; at 95 %, or when the
    platform refuses, all wait but one, which probes. `on_wait` hears for how many seconds.
    """

    app: BudgetClient
    account: BudgetClient
    on_wait: OnWait = lambda _seconds: None
    sleep: Sleep = asyncio.sleep
    _told_until: float = 0.0

    @property
    def pressure(self) -> float:
        return max(self.app.budget.pressure, self.account.budget.pressure)

    async def acquire(self) -> None:
        while not await self._is_admitted():
            pass

    async def _is_admitted(self) -> bool:
        keepers = (self.app, self.account)
        if stale := [keeper.refresh() for keeper in keepers if keeper.is_stale]:
            await asyncio.gather(*stale)
        if (waiting := max(keepers, key=lambda keeper: keeper.wait_seconds)).wait_seconds > 0:
            await self._wait_for(waiting)
            return False
        probed = [keeper for keeper in keepers if keeper.budget.is_shut]
        for keeper in probed:
            if not await keeper.probe():
                return False
        for keeper in keepers:
            if keeper.is_spaced:
                await self._take_slot(keeper, is_probe=bool(probed))
        return all(keeper in probed or not keeper.budget.is_shut for keeper in keepers)

    async def _wait_for(self, keeper: BudgetClient) -> None:
        """In short naps: others may hear that the wait is longer, or over. Waiting for a probe's answer is no news."""
        seconds, until = keeper.wait_seconds, keeper.budget.shut_until
        if until > self._told_until + MAX_BUDGET_AGE_SECONDS and not keeper.budget.is_probed:
            self._told_until = until
            self.on_wait(seconds)
        await self.sleep(min(seconds, MAX_BUDGET_AGE_SECONDS))

    async def _take_slot(self, keeper: BudgetClient, *, is_probe: bool) -> None:
        """One of this process at a time, so that no slot is lost when all must wait. Who wakes too late takes another:
        where calls are counted by the second, a late one would come too near to the next."""
        async with keeper.turn:
            while is_probe or not keeper.budget.is_shut:
                slot = await keeper.reserve()
                while (ahead := slot - keeper.store.now()) > 0:
                    await self.sleep(min(ahead, MAX_BUDGET_AGE_SECONDS))
                if keeper.min_spacing_seconds == 0 or keeper.store.now() - slot <= MAX_SLOT_DELAY_SECONDS:
                    return

    async def record_answer(self, usage: Usage, error: GraphError | None) -> None:
        is_answer = error is None or error.status is not None
        refused = error if error and error.kind is ErrorKind.THROTTLED else None
        is_of_app = refused is not None and refused.scope in (Scope.APP, Scope.USER)
        asked = refused.retry_after_seconds if refused else None
        of_account = asked if not is_of_app else None
        await self.app.hear(UsageReport(usage.app, is_of_app, asked if is_of_app else None, is_answer))
        await self.account.hear(
            UsageReport(
                usage.account, refused is not None and not is_of_app, of_account or usage.regain_seconds, is_answer
            )
        )


def min_spacing_seconds_of(platform: Platform) -> float:
    return INSTAGRAM_SPACING_SECONDS if platform is Platform.INSTAGRAM else 0.0


def local_governor(
    platform: Platform,
    on_wait: OnWait = lambda _seconds: None,
    sleep: Sleep = asyncio.sleep,
    now: Callable[[], float] = time.monotonic,
) -> BudgetGovernor:
    """For one account whose calls are all made by this process."""
    account = BudgetClient(MemoryBudgetStore(now), min_spacing_seconds_of(platform))
    return BudgetGovernor(BudgetClient(MemoryBudgetStore(now)), account, on_wait, sleep)
