"""The governor of calls for one account, over budgets that all processes share."""

from __future__ import annotations

from shared.domain.accounts import Account
from shared.graph_api.rate_governor import BudgetClient, BudgetGovernor, OnWait, min_spacing_seconds_of
from shared.store.budgets import MongoBudgetStore
from shared.store.mongo import Database
from shared.store.server_clock import BUDGET_MAX_AGE_SECONDS, ServerClock

APP = "app"


def governor_for(database: Database, account: Account, on_wait: OnWait) -> BudgetGovernor:
    """For the calls of one run. `on_wait` hears how many seconds the platform makes them wait."""
    clock = ServerClock(database, BUDGET_MAX_AGE_SECONDS)
    app, own = (MongoBudgetStore(key, database.budgets, clock) for key in (APP, account.key))
    return BudgetGovernor(BudgetClient(app), BudgetClient(own, min_spacing_seconds_of(account.platform)), on_wait)
