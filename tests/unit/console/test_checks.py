"""How accounts are is known before somebody asks, and asked for no more often than it changes."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from services.console.accounts.account_checks import OK_VALID_FOR, PROBLEM_VALID_FOR, AccountChecks
from shared.contract.failures import UnreachableError
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.runs import Run, RunState
from shared.store.accounts import AccountStore
from shared.store.mongo import Database
from shared.store.runs import RunStore
from tests.unit.console.rows import NOON

SHOP = Account(platform=Platform.MESSENGER, account_id="371", page_id="371", name="Shop", encrypted_token="x")
GOOD = {"is_well": True, "problems": [], "token": {"is_valid": True}, "permissions_granted": ["pages_messaging"]}


class Office:
    """The accounts, the platform that is asked about them, and the time."""

    def __init__(self, *accounts: Account) -> None:
        self.accounts = list(accounts)
        self.known = dict[str, dict[str, Any]]()
        self.last: Run | None = None
        self.now = NOON
        self.answer: dict[str, Any] | Exception = GOOD
        self.asked = 0
        self.checks = AccountChecks(
            cast(Database, None), cast(AccountStore, self), cast(RunStore, self), self.ask, self.clock
        )

    async def all(self) -> list[Account]:
        return self.accounts

    async def healths(self) -> dict[str, dict[str, Any]]:
        return self.known

    async def save_health(self, account: Account, health: dict[str, Any]) -> None:
        self.known[account.key] = health

    async def newest_of(self, _account: Account) -> Run | None:
        return self.last

    async def ask(self, _database: Database, _account: Account) -> dict[str, Any]:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def clock(self) -> datetime:
        return self.now

    async def look(self, after: timedelta = timedelta(0)) -> dict[str, Any]:
        self.now += after
        await self.checks.look(asyncio.Event())
        return self.known[SHOP.key]


async def test_an_account_that_was_just_added_is_asked_about_once() -> None:
    office = Office(SHOP)
    assert (await office.look())["token"] == {"is_valid": True}
    await office.look(OK_VALID_FOR)
    assert office.asked == 1
    await office.look(timedelta(seconds=1))
    assert office.asked == 2


async def test_one_whose_token_was_renewed_is_asked_about_anew() -> None:
    office = Office(SHOP)
    await office.look()
    office.known.clear()  # as putting an account anew does
    await office.look()
    assert office.asked == 2


@pytest.mark.parametrize("error", [UnreachableError("nobody answers"), ValueError("no key fits")])
async def test_where_nobody_answers_that_is_said_what_was_known_stays_and_it_is_tried_again_soon(
    error: Exception,
) -> None:
    office = Office(SHOP)
    await office.look()
    office.answer = error
    health = await office.look(OK_VALID_FOR + timedelta(seconds=1))
    assert (health["is_well"], health["problems"]) == (False, [f"it could not be checked: {error}"])
    assert health["permissions_granted"] == ["pages_messaging"]
    office.answer = GOOD
    assert (await office.look(PROBLEM_VALID_FOR + timedelta(seconds=1)))["problems"] == []


async def test_an_account_of_which_nothing_was_ever_heard_has_nothing_to_show_but_why() -> None:
    office = Office(SHOP)
    office.answer = UnreachableError("nobody answers")
    health = await office.look()
    assert (health["token"], health["permissions_granted"], health["webhooks_subscribed"]) == (None, None, None)
    assert health["problems"]


async def test_what_the_platform_refuses_is_asked_again_only_by_a_person() -> None:
    office = Office(SHOP)
    office.answer = {**GOOD, "is_well": False, "is_refused": True, "problems": ["it warns of abuse"]}
    await office.look()
    await office.look(PROBLEM_VALID_FOR + OK_VALID_FOR)
    assert office.asked == 1
    await office.checks.check(SHOP)
    assert office.asked == 2


async def test_nothing_is_asked_after_a_run_that_the_platform_warned_of() -> None:
    office = Office(SHOP)
    await office.look()
    failed = Run(run_id="r", platform=SHOP.platform, account_id="371", state=RunState.FAILED, created_at=NOON)
    office.last = failed.model_copy(update={"is_warned": True})
    await office.look(OK_VALID_FOR + timedelta(seconds=1))
    assert office.asked == 1
    office.last = failed
    await office.look()
    assert office.asked == 2


async def test_at_the_end_nobody_is_asked_any_more() -> None:
    office, stop = Office(SHOP), asyncio.Event()
    stop.set()
    await office.checks.look(stop)
    assert office.asked == 0
