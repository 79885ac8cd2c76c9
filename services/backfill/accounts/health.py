"""What a check finds out about an account, as a value and as JSON. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.domain.accounts import Account


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What the platform says about a token. A time is `None` when the token does not expire."""

    scopes: tuple[str, ...]
    is_valid: bool
    is_of_page: bool
    expires_at: datetime | None
    data_access_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountHealth:
    """The result of a check: `problems` need a person, `None` means that the platform did not say.

    `is_refused`: the platform lets the token read nothing.
    """

    account: Account
    problems: tuple[str, ...]
    token: TokenFacts | None = None
    missing_permissions: tuple[str, ...] = ()
    subscribed_fields: tuple[str, ...] | None = None
    missing_fields: tuple[str, ...] = ()
    is_refused: bool = False

    @property
    def is_well(self) -> bool:
        return not self.problems


def health_json(health: AccountHealth) -> dict[str, Any]:
    account, token = health.account, health.token
    return {
        "platform": account.platform.value,
        "account_id": account.account_id,
        "page_id": account.page_id,
        "name": account.name,
        "is_well": health.is_well,
        "is_refused": health.is_refused,
        "problems": list(health.problems),
        "token": token and {
            "is_valid": token.is_valid,
            "is_of_page": token.is_of_page,
            "expires_at": _iso(token.expires_at),
            "data_access_expires_at": _iso(token.data_access_expires_at),
        },
        "permissions_granted": list(token.scopes) if token else None,
        "permissions_missing": list(health.missing_permissions),
        "webhooks_subscribed": None if health.subscribed_fields is None else list(health.subscribed_fields),
        "webhooks_missing": list(health.missing_fields),
    }  # fmt: skip


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
