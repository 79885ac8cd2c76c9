"""Accounts as people and programs are shown them: never with a token."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from services.backfill.checking import Health, Token
from services.backfill.importing import Found
from services.backfill.permissions import PERMISSIONS
from shared.accounts import Account, format_every

__all__ = ["Health", "accounts_table", "found_table", "health_json", "health_text"]


def accounts_table(accounts: Sequence[Account]) -> Table:
    table = _table("platform", "id", "page", "name", "pipeline", "mode", "every")
    for each in accounts:
        page = "–" if each.page_id == each.account_id else each.page_id
        every = format_every(each.every_seconds) if each.every_seconds else "–"
        _add(table, each.platform, each.account_id, page, each.name, each.pipeline or "–", each.mode, every)
    return table


def found_table(found: Sequence[Found], known: Collection[str]) -> Table:
    table = _table("", "platform", "id", "page", "name")
    for each in found:
        page = "–" if each.page_id == each.account_id else each.page_id
        _add(table, "renew" if each.key in known else "add", each.platform, each.account_id, page, each.name)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=column in ("", "platform", "id", "page", "every"))
    return table


def _add(table: Table, *cells: str) -> None:
    table.add_row(*map(Text, cells))


def health_text(health: Health) -> Text:
    """A line that says whether all is well, one for each problem, then what else is known."""
    account, mark = health.account, ("well", "green") if health.is_well else ("not well", "red")
    text = Text.assemble(
        (f"{account.platform.capitalize()} {account.name}", "bold"), f"  {account.account_id}  ", mark, "\n"
    )
    for problem in health.problems:
        text.append(f"  ! {problem}\n", "red")
    for name, told in _facts(health):
        text.append(f"  {name:<13}", "dim").append(f"{told}\n")
    return text


def _facts(health: Health) -> Iterator[tuple[str, str]]:
    if health.token:
        yield "token", _lifetime(health.token)
        needed = PERMISSIONS[health.account.platform]
        yield "permissions", ", ".join(name for name in needed if name not in health.missing_permissions) or "none"
    elif health.is_well:
        yield "token", "works; the platform does not tell more of it"
    if health.subscribed_fields is not None:
        yield "webhooks", ", ".join(health.subscribed_fields) or "none"


def _lifetime(token: Token) -> str:
    ends = f"valid until {token.expires_at:%Y-%m-%d}" if token.expires_at else "does not expire"
    return ends + (
        f", data access until {token.data_access_expires_at:%Y-%m-%d}" if token.data_access_expires_at else ""
    )


def health_json(health: Health) -> dict[str, Any]:
    account, token = health.account, health.token
    return {
        "platform": account.platform.value,
        "account_id": account.account_id,
        "page_id": account.page_id,
        "name": account.name,
        "is_well": health.is_well,
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
