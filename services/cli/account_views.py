"""Tables and lines about accounts, never with a token."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.backfill.accounts.health import AccountHealth, TokenFacts
from services.backfill.accounts.import_accounts import FoundAccount
from services.backfill.accounts.permissions import PERMISSIONS
from shared.domain.accounts import Account, format_every
from shared.domain.pipelines import Mode

MODES = {Mode.SKIP_EXISTING: "skip", Mode.UPDATE_EXISTING: "update"}


def show(console: Console, views: Iterable[Text | Table]) -> None:
    """Print lines unwrapped, so that programs can search them, and tables in the terminal's width."""
    for view in views:
        console.print(view, soft_wrap=isinstance(view, Text))


def accounts_table(accounts: Sequence[Account]) -> Table:
    """Fits into 80 columns: names are cut."""
    table = _table("platform", "id", "page", "name", "pipeline", "stages", "every")
    for each in accounts:
        every = format_every(each.every_seconds) if each.every_seconds else "–"
        cells = (each.name, each.pipeline or "–", MODES[each.mode], every)
        _add(table, each.platform, each.account_id, _page(each), *cells)
    return table


def found_table(found: Sequence[FoundAccount], known: Collection[str]) -> Table:
    table = _table("", "platform", "id", "page", "name")
    for each in found:
        what = "renew" if each.key in known else "add"
        _add(table, what, each.platform, each.account_id, _page(each), each.name)
    return table


def _page(each: Account | FoundAccount) -> str:
    return "–" if each.page_id == each.account_id else each.page_id


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=column not in ("name", "pipeline"))
    return table


def _add(table: Table, *cells: str) -> None:
    table.add_row(*map(Text, cells))


def health_view(health: AccountHealth) -> Iterator[Text | Table]:
    """Yield a line with the result, one for each problem, then the other facts."""
    account, mark = health.account, ("well", "green") if health.is_well else ("not well", "red")
    title = f"{account.platform.capitalize()} {account.name}"
    yield Text.assemble((title, "bold"), f"  {account.account_id}  ", mark)
    for problem in health.problems:
        yield Text(f"  ! {problem}", "red")
    facts = Table.grid(padding=(0, 1, 0, 1), pad_edge=True)
    for name, fact in _facts(health):
        facts.add_row(Text(f" {name}", "dim"), Text(fact))
    yield facts


def _facts(health: AccountHealth) -> Iterator[tuple[str, str]]:
    if health.token:
        yield "token", _lifetime(health.token)
        needed = PERMISSIONS[health.account.platform]
        yield "permissions", ", ".join(name for name in needed if name not in health.missing_permissions) or "none"
    elif health.is_well:
        yield "token", "works; the platform gives no details"
    if health.subscribed_fields is not None:
        yield "webhooks", ", ".join(health.subscribed_fields) or "none"


def _lifetime(token: TokenFacts) -> str:
    ends = f"valid until {token.expires_at:%Y-%m-%d}" if token.expires_at else "does not expire"
    return ends + (
        f", data access until {token.data_access_expires_at:%Y-%m-%d}" if token.data_access_expires_at else ""
    )
