"""The forms of an account."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.console.accounts.form import InvalidAccountError, new_account, request_from_form, with_settings
from services.console.api.requests import AccountRequest, AccountSettings
from shared.domain.accounts import Account
from shared.domain.pipelines import Mode

ACCOUNT = {"platform": "messenger", "account_id": "371", "name": "The Page", "token": "EAAB-secret"}


def account_from(form: dict[str, str], encrypt: Callable[[str], str]) -> Account:
    return new_account(request_from_form(AccountRequest, form), encrypt)


def test_the_token_of_a_new_account_is_encrypted() -> None:
    account = account_from(ACCOUNT, lambda token: f"<{len(token)}>")
    assert (account.key, account.page_id, account.encrypted_token) == ("messenger:371", "371", "<11>")


def test_white_space_around_a_token_is_dropped() -> None:
    assert account_from({**ACCOUNT, "token": " EAAB-secret\n"}, str).encrypted_token == "EAAB-secret"


@pytest.mark.parametrize(
    "wrong",
    [
        {"platform": "telegram"}, {"account_id": ""}, {"account_id": "a b"}, {"token": ""}, {"token": "two words"},
        {"name": " "}, {"platform": "instagram"}, {"account_id": "EAAB" * 30}, {"page_id": "EAAB-secret!"},
    ],
)  # fmt: skip
def test_an_invalid_account_is_refused_without_showing_its_token(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidAccountError) as refused:
        account_from({**ACCOUNT, **wrong}, str)
    assert "EAAB" not in str(refused.value)


def test_new_settings_keep_the_token() -> None:
    account = account_from(ACCOUNT, lambda _token: "sealed")
    form = {"name": "New", "pipeline": "Sales", "mode": "UPDATE_EXISTING", "every": "6h"}
    form["timezone"] = "Asia/Manila"
    after = with_settings(account, request_from_form(AccountSettings, form), ["Sales"])
    assert (after.pipeline, after.mode, after.every_seconds) == ("Sales", Mode.UPDATE_EXISTING, 21_600)
    assert (after.encrypted_token, after.timezone) == ("sealed", "Asia/Manila")


def test_a_time_zone_that_is_left_out_stays_and_an_empty_one_is_utc() -> None:
    account = account_from({**ACCOUNT, "timezone": "Asia/Manila"}, str)
    for form, zone in (({}, "Asia/Manila"), ({"timezone": " "}, "UTC"), ({"timezone": "Asia/Tokyo"}, "Asia/Tokyo")):
        assert with_settings(account, request_from_form(AccountSettings, form), []).timezone == zone
    assert account_from(ACCOUNT, str).timezone == "UTC"


@pytest.mark.parametrize(
    "wrong", [{"pipeline": "None such"}, {"mode": "?"}, {"every": "often"}, {"name": ""}, {"timezone": "Berlin"}]
)
def test_invalid_settings_are_refused(wrong: dict[str, str]) -> None:
    form = {"name": "New", "pipeline": "", "mode": "SKIP_EXISTING", "every": "", **wrong}
    with pytest.raises(InvalidAccountError):
        with_settings(account_from(ACCOUNT, str), request_from_form(AccountSettings, form), ["Sales"])
