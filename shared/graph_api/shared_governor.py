"""The governor of calls for one account, over budgets that all processes share."""

from __future__ import annotations

from shared.domain.accounts import Account
from shared.graph_api.rate_governor import BudgetClient, BudgetGovernor, OnWait, min_spacing_seconds_of
from shared.store.budgets import MongoBudgetStore
from shared.store.mongo import Database
from shared.store.server_clock import BUDGET_MAX_AGE_SECONDS, ServerClock

APP = "app"


def governor_for(database: Database, account: Account, on_wait: OnWait) -> BudgetGovernor:
    """Return a governor for the account's calls. `on_wait` is called with the seconds that a call must wait."""
    clock = ServerClock(database, BUDGET_MAX_AGE_SECONDS)
    of_app, of_account = (MongoBudgetStore(database, key, clock) for key in (APP, account.key))
    spacing_seconds = min_spacing_seconds_of(account.platform)
    return BudgetGovernor(BudgetClient(of_app), BudgetClient(of_account, spacing_seconds), on_wait)
