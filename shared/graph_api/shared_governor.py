"""The governor of calls for one account, over budgets that all processes share."""

from __future__ import annotations

from shared.domain.accounts import Account
from shared.graph_api.rate_governor import BudgetClient, BudgetGovernor, OnWait, least_spacing_seconds
from shared.store.budgets import MongoStore, ServerClock
from shared.store.mongo import Database

APP = "app"


def governor_for(database: Database, account: Account, on_wait: OnWait) -> BudgetGovernor:
    """For the calls of one run. `on_wait` hears how many seconds the platform makes them wait."""
    clock = ServerClock(database)
    app, own = (MongoStore(key, database.budgets, clock) for key in (APP, account.key))
    return BudgetGovernor(BudgetClient(app), BudgetClient(own, least_spacing_seconds(account.platform)), on_wait)
