"""The periodic checks of accounts."""

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


class FakeAccounts:
    """The accounts, the platform that checks them, and the clock."""

    def __init__(self, *accounts: Account) -> None:
        self.accounts = list(accounts)
        self.known = dict[str, dict[str, Any]]()
        self.last: Run | None = None
        self.now = NOON
        self.answer: dict[str, Any] | Exception = GOOD
        self.checked = 0
        self.checks = AccountChecks(
            cast(Database, None), cast(AccountStore, self), cast(RunStore, self), self.check, self.clock
        )

    async def all(self) -> list[Account]:
        return self.accounts

    async def healths(self) -> dict[str, dict[str, Any]]:
        return self.known

    async def save_health(self, account: Account, health: dict[str, Any]) -> None:
        self.known[account.key] = health

    async def newest_of(self, _account: Account) -> Run | None:
        return self.last

    async def check(self, _database: Database, _account: Account) -> dict[str, Any]:
        self.checked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def clock(self) -> datetime:
        return self.now

    async def look(self, after: timedelta = timedelta(0)) -> dict[str, Any]:
        self.now += after
        await self.checks.check_due(asyncio.Event())
        return self.known[SHOP.key]


async def test_a_new_account_is_checked_once_while_its_result_is_valid() -> None:
    fake = FakeAccounts(SHOP)
    assert (await fake.look())["token"] == {"is_valid": True}
    await fake.look(OK_VALID_FOR)
    assert fake.checked == 1
    await fake.look(timedelta(seconds=1))
    assert fake.checked == 2


async def test_an_account_with_a_renewed_token_is_checked_again() -> None:
    fake = FakeAccounts(SHOP)
    await fake.look()
    fake.known.clear()  # as replacing an account does
    await fake.look()
    assert fake.checked == 2


@pytest.mark.parametrize("error", [UnreachableError("no answer"), ValueError("no key fits")])
async def test_a_check_without_an_answer_keeps_what_was_known_and_is_repeated_soon(
    error: Exception,
) -> None:
    fake = FakeAccounts(SHOP)
    await fake.look()
    fake.answer = error
    health = await fake.look(OK_VALID_FOR + timedelta(seconds=1))
    assert (health["is_well"], health["problems"]) == (False, [f"it could not be checked: {error}"])
    assert health["permissions_granted"] == ["pages_messaging"]
    fake.answer = GOOD
    assert (await fake.look(PROBLEM_VALID_FOR + timedelta(seconds=1)))["problems"] == []


async def test_an_account_that_was_never_checked_shows_only_the_reason() -> None:
    fake = FakeAccounts(SHOP)
    fake.answer = UnreachableError("no answer")
    health = await fake.look()
    assert (health["token"], health["permissions_granted"], health["webhooks_subscribed"]) == (None, None, None)
    assert health["problems"]


async def test_a_refused_account_is_checked_again_only_by_a_person() -> None:
    fake = FakeAccounts(SHOP)
    fake.answer = {**GOOD, "is_well": False, "is_refused": True, "problems": ["it warns of abuse"]}
    await fake.look()
    await fake.look(PROBLEM_VALID_FOR + OK_VALID_FOR)
    assert fake.checked == 1
    await fake.checks.check(SHOP)
    assert fake.checked == 2


async def test_an_account_is_not_checked_after_a_run_that_the_platform_warned_of() -> None:
    fake = FakeAccounts(SHOP)
    await fake.look()
    failed = Run(run_id="r", platform=SHOP.platform, account_id="371", state=RunState.FAILED, created_at=NOON)
    fake.last = failed.model_copy(update={"is_warned": True})
    await fake.look(OK_VALID_FOR + timedelta(seconds=1))
    assert fake.checked == 1
    fake.last = failed
    await fake.look()
    assert fake.checked == 2


async def test_no_account_is_checked_after_the_stop() -> None:
    fake, stop = FakeAccounts(SHOP), asyncio.Event()
    stop.set()
    await fake.checks.check_due(stop)
    assert fake.checked == 0
