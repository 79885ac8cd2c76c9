"""The forms of an account: they are validated by the API's request models. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from services.console.api.requests import AccountRequest, AccountSettings
from shared.contract.ids import Platform
from shared.domain.accounts import UTC_NAME, Account, parse_every
from shared.runtime.clock import time_zone

Request = TypeVar("Request", bound=BaseModel)

FIELD_ERRORS = {
    "platform": "choose Messenger or Instagram",
    "account_id": "an id has up to 64 letters and digits",
    "page_id": "an id has up to 64 letters and digits",
    "name": "a name of at most 200 characters is required",
    "token": "the access token is missing or malformed",
    "pipeline": "there is no such pipeline",
    "mode": "choose what an analysis may do to a stage",
    "timezone": "give a time zone as in Europe/Berlin",
    "every": "give minutes, hours or days as in 30m, 6h or 1d",
}
"""Never the value: it may be the token, pasted into another field."""


class InvalidAccountError(ValueError):
    """`at` is the name of the invalid field, or empty."""

    def __init__(self, at: str, message: str = "") -> None:
        super().__init__(message or FIELD_ERRORS[at])
        self.at = at


def request_from_form(model: type[Request], form: Mapping[str, str]) -> Request:
    """Validate a form. An empty field is null. Raise InvalidAccountError."""
    given = {name: form[name].strip() or None for name in model.model_fields if name in form}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InvalidAccountError(str(error.errors()[0]["loc"][0])) from None


def new_account(request: AccountRequest, encrypt: Callable[[str], str]) -> Account:
    page_id = request.page_id or request.account_id
    if request.platform is Platform.INSTAGRAM and page_id == request.account_id:
        raise InvalidAccountError("page_id", "an Instagram account is read through its Page: give the Page's id")
    return Account(
        platform=request.platform,
        account_id=request.account_id,
        page_id=page_id,
        name=request.name,
        encrypted_token=encrypt(request.token.get_secret_value()),
        timezone=_time_zone(request.timezone),
    )


def with_settings(account: Account, settings: AccountSettings, pipelines: Collection[str]) -> Account:
    """Return `account` with the settings that are given; its token stays. Raise InvalidAccountError."""
    update = settings.model_dump(include={"name", "pipeline", "mode"}, exclude_unset=True)
    if "name" in update and update["name"] is None:
        raise InvalidAccountError("name")
    if update.get("pipeline") and update["pipeline"] not in pipelines:
        raise InvalidAccountError("pipeline")
    if "pipeline" in update:
        update["pipeline"] = update["pipeline"] or None
    if "every" in settings.model_fields_set:
        update["every_seconds"] = parse_every(settings.every) if settings.every else None
    if "timezone" in settings.model_fields_set:
        update["timezone"] = _time_zone(settings.timezone)
    return account.model_copy(update=update)


def _time_zone(name: str | None) -> str:
    try:
        return time_zone(name).key if name else UTC_NAME
    except ValueError:
        raise InvalidAccountError("timezone") from None
