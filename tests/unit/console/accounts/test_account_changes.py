"""An editor adds and changes accounts."""

from __future__ import annotations

from typing import Any, cast

import pytest

from services.console.accounts.account_checks import AccountChecks
from services.console.accounts.form import InvalidAccountError, request_from_form
from services.console.accounts.service import AccountChanges
from services.console.api.requests import AccountRequest, AccountSettings
from services.console.view.form_error import FormError
from shared.domain.accounts import Account
from shared.runtime.crypto import TokenVault
from shared.store.accounts import AccountStore
from shared.store.pipelines import PipelineStore
from tests.unit.console.accounts.test_account_checks import GOOD

FIELDS = {"platform": "messenger", "account_id": "371", "name": "Shop", "token": "EAAB-secret"}
SETTINGS = {"name": "Shop", "pipeline": "", "mode": "SKIP_EXISTING", "every": ""}
REFUSED = {"is_refused": True, "problems": ["its conversations cannot be listed: token 190"]}
WANTING = {"is_refused": False, "problems": ["permissions are missing: pages_messaging"]}


def request(form: dict[str, str]) -> AccountRequest:
    return request_from_form(AccountRequest, form)


def settings(**changes: str) -> AccountSettings:
    return request_from_form(AccountSettings, SETTINGS | changes)


class FakeAccounts:
    """The stored accounts, and a platform that answers every check with `health`."""

    def __init__(self, health: dict[str, Any]) -> None:
        self.health = health
        self.stored = dict[str, Account]()
        self.checked = list[str]()

    def changes(self, vault: bool = True) -> AccountChanges:
        class Vault:
            def encrypt(self, token: str) -> str:
                return f"sealed {len(token)}"

        sealing = cast(TokenVault, Vault()) if vault else None
        return AccountChanges(
            cast(AccountStore, self), cast(PipelineStore, Pipelines()), cast(AccountChecks, self), sealing
        )

    async def ask(self, account: Account) -> dict[str, Any]:
        self.checked.append(account.encrypted_token)
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


async def test_an_account_is_added_when_the_platform_accepts_its_token() -> None:
    fake = FakeAccounts(GOOD)
    account, problems = await fake.changes().add(request(FIELDS))
    assert (fake.stored, problems) == ({"messenger:371": account}, [])


async def test_an_account_with_other_problems_is_added_and_they_are_returned() -> None:
    fake = FakeAccounts(WANTING)
    assert (await fake.changes().add(request(FIELDS)))[1] == WANTING["problems"]
    assert fake.stored


async def test_an_account_whose_token_is_refused_is_not_added_and_the_token_not_shown() -> None:
    fake = FakeAccounts(REFUSED)
    with pytest.raises(InvalidAccountError, match="token 190") as refused:
        await fake.changes().add(request(FIELDS))
    assert (fake.stored, refused.value.at) == ({}, "token")
    assert "EAAB" not in str(FormError.from_exception(refused.value, "", FIELDS))


async def test_an_existing_account_is_neither_replaced_nor_checked() -> None:
    fake = FakeAccounts(GOOD)
    before, _ = await fake.changes().add(request(FIELDS))
    with pytest.raises(InvalidAccountError, match="added before"):
        await fake.changes().add(request({**FIELDS, "name": "Other"}))
    assert (fake.stored["messenger:371"], len(fake.checked)) == (before, 1)


async def test_new_settings_keep_the_token_unless_one_is_given() -> None:
    fake = FakeAccounts(GOOD)
    account, _ = await fake.changes().add(request(FIELDS))
    await fake.changes().update(account, settings(name="Store"))
    assert (fake.stored["messenger:371"].name, fake.stored["messenger:371"].encrypted_token) == (
        "Store",
        "sealed 11",
    )
    await fake.changes().update(account, settings(token="EAAB-another"))
    assert fake.stored["messenger:371"].encrypted_token == "sealed 12"


async def test_a_new_token_that_is_refused_changes_nothing() -> None:
    fake = FakeAccounts(GOOD)
    account, _ = await fake.changes().add(request(FIELDS))
    fake.health = REFUSED
    with pytest.raises(InvalidAccountError):
        await fake.changes().update(account, settings(name="Store", token="EAAB-another"))
    assert fake.stored["messenger:371"] == account


async def test_without_an_encryption_key_no_token_is_accepted() -> None:
    with pytest.raises(InvalidAccountError, match="LEADSTREAM_ENCRYPTION_KEYS"):
        await FakeAccounts(GOOD).changes(vault=False).add(request(FIELDS))


def test_a_refused_form_shows_what_was_typed_in_that_form_only() -> None:
    refused = FormError.from_exception(InvalidAccountError("name"), "messenger:371", {"name": " ", "every": "9h"})
    assert refused.typed("messenger:371", "every", "1d") == "9h"
    assert refused.typed("messenger:372", "every", "1d") == "1d"
