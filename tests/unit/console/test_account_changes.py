"""Accounts as an editor adds and changes them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from services.console.accounts.account_checks import AccountChecks
from services.console.accounts.form import WrongAccountError
from services.console.accounts.service import AccountChanges, NoKeysError
from services.console.view.form_error import FormError
from shared.domain.accounts import Account
from shared.runtime.crypto import TokenVault
from shared.store.accounts import AccountStore
from shared.store.pipelines import PipelineStore
from tests.unit.console.test_checks import GOOD

FIELDS = {"platform": "messenger", "account_id": "371", "name": "Shop", "token": "EAAB-secret"}
SETTINGS = {"name": "Shop", "pipeline": "", "mode": "SKIP_EXISTING", "every": ""}
REFUSED = {"is_refused": True, "problems": ["its conversations cannot be listed: token 190"]}
WANTING = {"is_refused": False, "problems": ["permissions are missing: pages_messaging"]}


class Office:
    """The accounts that are stored, and what the platform says of any."""

    def __init__(self, health: dict[str, Any]) -> None:
        self.health = health
        self.stored = dict[str, Account]()
        self.asked = list[str]()

    def changes(self, vault: bool = True) -> AccountChanges:
        class Vault:
            def encrypt(self, token: str) -> str:
                return f"sealed {len(token)}"

        sealing = cast(TokenVault, Vault()) if vault else None
        return AccountChanges(
            cast(AccountStore, self), cast(PipelineStore, Pipelines()), cast(AccountChecks, self), sealing
        )

    async def ask(self, account: Account) -> dict[str, Any]:
        self.asked.append(account.encrypted_token)
        return {"is_refused": False, **self.health}

    async def by_key(self, key: str) -> Account | None:
        return self.stored.get(key)

    async def add(self, account: Account) -> None:
        self.stored[account.key] = account

    async def save_choices(self, account: Account) -> None:
        before = self.stored[account.key]
        self.stored[account.key] = account.model_copy(update={"encrypted_token": before.encrypted_token})

    async def save_token(self, account: Account) -> None:
        self.stored[account.key] = account

    async def save_health(self, account: Account, _health: dict[str, Any]) -> None:
        assert self.stored[account.key].encrypted_token == account.encrypted_token


class Pipelines:
    async def all(self) -> list[object]:
        return []


async def test_an_account_is_added_when_the_platform_takes_its_token() -> None:
    office = Office(GOOD)
    account, problems = await office.changes().add(FIELDS)
    assert (office.stored, problems) == ({"messenger:371": account}, [])


async def test_what_else_is_wrong_of_it_is_told_and_it_is_added() -> None:
    office = Office(WANTING)
    assert (await office.changes().add(FIELDS))[1] == WANTING["problems"]
    assert office.stored


async def test_one_whose_token_is_refused_is_not_added_and_its_token_is_not_told() -> None:
    office = Office(REFUSED)
    with pytest.raises(WrongAccountError, match="token 190") as told:
        await office.changes().add(FIELDS)
    assert (office.stored, told.value.at) == ({}, "token")
    assert "EAAB" not in str(FormError.from_exception(told.value, "", FIELDS))


async def test_one_that_is_there_is_neither_replaced_nor_asked_about() -> None:
    office = Office(GOOD)
    before, _ = await office.changes().add(FIELDS)
    with pytest.raises(WrongAccountError, match="added before"):
        await office.changes().add({**FIELDS, "name": "Other"})
    assert (office.stored["messenger:371"], len(office.asked)) == (before, 1)


async def test_settings_leave_the_token_unless_one_is_given() -> None:
    office = Office(GOOD)
    account, _ = await office.changes().add(FIELDS)
    await office.changes().choose(account, {**SETTINGS, "name": "Store"})
    assert (office.stored["messenger:371"].name, office.stored["messenger:371"].encrypted_token) == (
        "Store",
        "sealed 11",
    )
    await office.changes().choose(account, {**SETTINGS, "token": "EAAB-another"})
    assert office.stored["messenger:371"].encrypted_token == "sealed 12"


async def test_a_new_token_that_is_refused_changes_nothing() -> None:
    office = Office(GOOD)
    account, _ = await office.changes().add(FIELDS)
    office.health = REFUSED
    with pytest.raises(WrongAccountError):
        await office.changes().choose(account, {**SETTINGS, "name": "Store", "token": "EAAB-another"})
    assert office.stored["messenger:371"] == account


async def test_without_a_key_no_token_is_taken() -> None:
    with pytest.raises(NoKeysError):
        await Office(GOOD).changes(vault=False).add(FIELDS)


def test_what_was_typed_stands_in_its_own_form_alone() -> None:
    refused = FormError.from_exception(
        WrongAccountError("it needs a name", "name"), "messenger:371", {"name": " ", "every": "9h"}
    )
    assert refused.typed("messenger:371", "every", "1d") == "9h"
    assert refused.typed("messenger:372", "every", "1d") == "1d"
