"""The rate governor: delays calls to the platform so that no budget is exceeded."""

from __future__ import annotations

import asyncio
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
"""How old this process's copy of a shared budget may be."""
INSTAGRAM_SPACING_SECONDS = 0.52
"""Instagram allows two calls a second for an account. With this spacing, and each call at most MAX_SLOT_DELAY_SECONDS
after its slot, no second contains three calls.

Source: https://developers.facebook.com/docs/graph-api/overview/rate-limiting."""
MAX_SLOT_DELAY_SECONDS = 0.03
FIRST_LEAD_SECONDS, MAX_LEAD_SECONDS = 0.05, 1.0


class Governor(Protocol):
    """Admits the calls for one account by its budgets."""

    async def acquire(self) -> None:
        """Return when a call may be made. The caller makes it at once and reports its answer."""

    async def record_answer(self, usage: Usage, error: GraphError | None) -> None:
        """Report the answer of a call, also if there was none."""

    @property
    def pressure(self) -> float:
        """The highest known usage of a budget; 1.0 or more while calls must wait."""


class BudgetStore(Protocol):
    """The stored state of a budget and the clock that its users share."""

    def now(self) -> float: ...

    async def read(self) -> Budget: ...

    async def replace(self, new: Budget) -> bool:
        """Return False when the stored state is not the version before `new`."""


@dataclass(slots=True)
class BudgetClient:
    """One budget as this process knows it, with the minimum spacing of its calls."""

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
        """Read the shared state if the copy is stale; concurrent callers share one read."""
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
        """Return whether this caller may make the probe; another process may have started one."""
        return await self._change(lambda budget: start_probe(budget, self.store.now()))

    async def report(self, report: UsageReport) -> None:
        """Apply the report; store it only if it changes how fast the others may call."""
        async with self._lock:
            new = apply_report(self.budget, report, self.store.now())
            matters = replace(new, usage=0.0) != replace(self.budget, usage=0.0)
            if not matters and max(new.usage, self.budget.usage) < SLOW_FROM_USAGE:
                self.budget = new
                return
        await self._change(lambda budget: apply_report(budget, report, self.store.now()))

    async def reserve(self) -> float:
        """Reserve a slot that no other call has and return its time.

        With a minimum spacing the slot is later than now by twice the duration of the last reservation. Otherwise it
        would have passed when the reservation is stored.
        """
        began = self.store.now()
        await self._change(
            lambda budget: reserve_slot(budget, self.store.now() + self._lead_seconds, self.min_spacing_seconds)
        )
        if self.min_spacing_seconds > 0:
            self._lead_seconds = min(2 * (self.store.now() - began), MAX_LEAD_SECONDS)
        return self.budget.last_slot

    async def _change(self, by: Callable[[Budget], Budget]) -> bool:
        """Compare and set until it succeeds. Return False if `by` changes nothing in the newest state."""
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
    """Waits for the budgets of the app and of the account.

    Below 75 % usage calls do not wait; from there on they take slots with growing spacing. At 95 %, or after a refusal,
    all calls wait except one, the probe. `on_wait` is called with the seconds to wait.
    """

    app: BudgetClient
    account: BudgetClient
    on_wait: OnWait = lambda _seconds: None
    sleep: Sleep = asyncio.sleep
    _notified_until: float = 0.0

    @property
    def pressure(self) -> float:
        return max(self.app.budget.pressure, self.account.budget.pressure)

    async def acquire(self) -> None:
        while not await self._is_admitted():
            pass

    async def _is_admitted(self) -> bool:
        clients = (self.app, self.account)
        if stale := [client.refresh() for client in clients if client.is_stale]:
            await asyncio.gather(*stale)
        if (waiting := max(clients, key=lambda client: client.wait_seconds)).wait_seconds > 0:
            await self._wait_for(waiting)
            return False
        probed = [client for client in clients if client.budget.is_shut]
        for client in probed:
            if not await client.probe():
                return False
        for client in clients:
            if client.is_spaced:
                await self._take_slot(client, is_probe=bool(probed))
        return all(client in probed or not client.budget.is_shut for client in clients)

    async def _wait_for(self, client: BudgetClient) -> None:
        """Sleep for a short time only, as another process may report that the wait is longer or over.

        `on_wait` is called once per wait, and not while a probe is in flight.
        """
        seconds, until = client.wait_seconds, client.budget.shut_until
        if until > self._notified_until + MAX_BUDGET_AGE_SECONDS and not client.budget.is_probed:
            self._notified_until = until
            self.on_wait(seconds)
        await self.sleep(min(seconds, MAX_BUDGET_AGE_SECONDS))

    async def _take_slot(self, client: BudgetClient, *, is_probe: bool) -> None:
        """Wait for a slot. One call of the process at a time, so that no reserved slot is lost when all must wait.

        A call that wakes too late takes another slot, as it would be too near to the next call.
        """
        async with client.turn:
            while is_probe or not client.budget.is_shut:
                slot = await client.reserve()
                while (ahead := slot - client.store.now()) > 0:
                    await self.sleep(min(ahead, MAX_BUDGET_AGE_SECONDS))
                if client.min_spacing_seconds == 0 or client.store.now() - slot <= MAX_SLOT_DELAY_SECONDS:
                    return

    async def record_answer(self, usage: Usage, error: GraphError | None) -> None:
        is_answer = error is None or error.status is not None
        refusal = error if error and error.kind is ErrorKind.THROTTLED else None
        is_of_app = refusal is not None and refusal.scope in (Scope.APP, Scope.USER)
        is_of_account = refusal is not None and not is_of_app
        wait_seconds = refusal.retry_after_seconds if refusal else None
        of_app, of_account = (wait_seconds, None) if is_of_app else (None, wait_seconds)
        await self.app.report(UsageReport(usage.app, is_of_app, of_app, is_answer))
        await self.account.report(
            UsageReport(usage.account, is_of_account, of_account or usage.regain_seconds, is_answer)
        )


def min_spacing_seconds_of(platform: Platform) -> float:
    return INSTAGRAM_SPACING_SECONDS if platform is Platform.INSTAGRAM else 0.0
