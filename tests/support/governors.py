"""A rate governor whose budgets are in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from shared.contract.ids import Platform
from shared.domain.budgets import UNKNOWN_BUDGET, Budget
from shared.graph_api.rate_governor import BudgetClient, BudgetGovernor, OnWait, Sleep, min_spacing_seconds_of


@dataclass(slots=True)
class MemoryBudgetStore:
    """A budget that is used by one process only."""

    now: Callable[[], float] = time.monotonic
    budget: Budget = UNKNOWN_BUDGET

    async def read(self) -> Budget:
        return self.budget

    async def replace(self, new: Budget) -> bool:
        is_next = new.version == self.budget.version + 1
        if is_next:
            self.budget = new
        return is_next


def local_governor(
    platform: Platform,
    on_wait: OnWait = lambda _seconds: None,
    sleep: Sleep = asyncio.sleep,
    now: Callable[[], float] = time.monotonic,
) -> BudgetGovernor:
    """Return a governor for an account whose calls are all made by this process."""
    account = BudgetClient(MemoryBudgetStore(now), min_spacing_seconds_of(platform))
    return BudgetGovernor(BudgetClient(MemoryBudgetStore(now)), account, on_wait, sleep)
