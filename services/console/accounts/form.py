"""What a person types of an account. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from shared.contract.ids import Platform
from shared.domain.accounts import Account, parse_every
from shared.domain.pipelines import Mode

MAX_NAME_CHARS = 200
_ID = re.compile(r"[0-9A-Za-z_.-]{1,64}")
_TOKEN = re.compile(r"[!-~]{1,4096}")


class WrongAccountError(ValueError):
    """Says what is wrong of which field, and never the token."""

    def __init__(self, message: str, at: str = "") -> None:
        super().__init__(message)
        self.at = at


def new_account(form: Mapping[str, str], encrypt: Callable[[str], str]) -> Account:
    platform, account_id = _platform(form.get("platform", "")), form.get("account_id", "").strip()
    page_id = form.get("page_id", "").strip() or account_id
    if platform is Platform.INSTAGRAM and page_id == account_id:
        raise WrongAccountError("an Instagram account is read through its Page: give the Page's id", "page_id")
    for name, each in (("account_id", account_id), ("page_id", page_id)):
        if not _ID.fullmatch(each):
            raise WrongAccountError("an id has up to 64 letters and digits", name)  # perhaps it is the token: not told
    return Account(
        platform=platform,
        account_id=account_id,
        page_id=page_id,
        name=_name(form),
        encrypted_token=token_of(form, encrypt),
    )


def token_of(form: Mapping[str, str], encrypt: Callable[[str], str]) -> str:
    """Encrypted."""
    text = form.get("token", "").strip()
    if not _TOKEN.fullmatch(text):
        raise WrongAccountError("the access token is missing, or is none", "token")
    return encrypt(text)


def chosen(account: Account, form: Mapping[str, str], pipelines: Collection[str]) -> Account:
    """`account` with what is chosen for it; its token stays."""
    pipeline, every = form.get("pipeline", ""), form.get("every", "").strip()
    if pipeline and pipeline not in pipelines:
        raise WrongAccountError(f"there is no pipeline {pipeline!r}", "pipeline")
    return account.model_copy(
        update={
            "name": _name(form),
            "pipeline": pipeline or None,
            "mode": _mode(form.get("mode", "")),
            "every_seconds": _every(every),
        }
    )


def _name(form: Mapping[str, str]) -> str:
    name = " ".join(form.get("name", "").split())
    if not name or len(name) > MAX_NAME_CHARS:
        raise WrongAccountError("it needs a name", "name")
    return name


def _platform(text: str) -> Platform:
    try:
        return Platform(text)
    except ValueError:
        raise WrongAccountError("say whether it is Messenger or Instagram", "platform") from None


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise WrongAccountError("say what an analysis may do to a stage", "mode") from None


def _every(text: str) -> int | None:
    try:
        return parse_every(text) if text else None
    except ValueError as error:
        raise WrongAccountError(str(error), "every") from None
