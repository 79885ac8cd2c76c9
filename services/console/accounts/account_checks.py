"""Checks all accounts with the platform periodically, so that the pages can show how each of them is."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import structlog

from services.console.ports import Check
from shared.contract.events import format_instant
from shared.contract.failures import UnreachableError
from shared.domain.accounts import Account
from shared.runtime.clock import Clock
from shared.runtime.service import stopped_within
from shared.store.accounts import AccountStore
from shared.store.mongo import Database, PyMongoError
from shared.store.runs import RunStore

CHECK_INTERVAL_SECONDS = 5.0
"""The longest that a new account or a new token waits for its check."""
OK_VALID_FOR, PROBLEM_VALID_FOR = timedelta(hours=6), timedelta(minutes=10)
UNKNOWN_HEALTH: dict[str, Any] = {
    "is_well": False, "problems": [], "token": None, "permissions_granted": None, "permissions_missing": [],
    "webhooks_subscribed": None, "webhooks_missing": [],
}  # fmt: skip

log = structlog.get_logger()


class AccountChecks:
    def __init__(self, database: Database, accounts: AccountStore, runs: RunStore, check: Check, clock: Clock) -> None:
        self._database = database
        self._accounts = accounts
        self._runs = runs
        self._check = check
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        while not await stopped_within(stop, CHECK_INTERVAL_SECONDS):
            try:
                await self.check_due(stop)
            except PyMongoError as error:
                log.warning("database_unreachable", error=type(error).__name__)

    async def check_due(self, stop: asyncio.Event) -> None:
        """Check each account that was never checked or whose result has expired.

        An account that the platform refused, or whose last run it warned of, is left to a person: repeating the calls
        makes the platform's measures worse.
        """
        healths = await self._accounts.healths()
        for account in await self._accounts.all():
            is_due = not stop.is_set() and _is_due(healths.get(account.key), self._clock())
            if is_due and not await self._is_warned(account):
                await self.check(account)

    async def _is_warned(self, account: Account) -> bool:
        last = await self._runs.newest_of(account)
        return last is not None and last.is_warned

    async def check(self, account: Account) -> dict[str, Any]:
        """Return the account's health and store it."""
        health = await self.ask(account)
        await self._accounts.save_health(account, health)
        return health

    async def ask(self, account: Account) -> dict[str, Any]:
        """Return the account's health. If the check fails, that is its problem, and the rest stays as last known."""
        try:
            health = await self._check(self._database, account)
        except (UnreachableError, ValueError) as error:
            known = (await self._accounts.healths()).get(account.key, UNKNOWN_HEALTH)
            health = {**known, "is_well": False, "is_refused": False, "problems": [f"it could not be checked: {error}"]}
        return {**health, "checked_at": format_instant(self._clock())}


def _is_due(health: dict[str, Any] | None, now: datetime) -> bool:
    if health is None or health.get("is_refused"):
        return health is None
    valid_for = PROBLEM_VALID_FOR if health["problems"] else OK_VALID_FOR
    return now - datetime.fromisoformat(health["checked_at"]) > valid_for
