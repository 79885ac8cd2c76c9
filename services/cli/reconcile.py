"""`leadstream reconcile`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import typer
from aiohttp import ClientSession
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from services.backfill.clients import backfill_client, token_of
from services.backfill.reconcile import Compared, Reconciler, Uncompared
from services.backfill.runs.eta import duration
from services.cli.account_views import show
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.graph_api.shared_governor import governor_for
from shared.runtime.crypto import TokenVault, vault_from
from shared.runtime.settings import BackfillSettings
from shared.store.accounts import AccountStore
from shared.store.mongo import Database, open_database


@dataclass(slots=True)
class ReconcileReport:
    """One account: totals, and each conversation with a hole or without a comparison."""

    account: Account
    conversations: int = 0
    listed: int = 0
    stored: int = 0
    unavailable: int = 0
    missing: int = 0
    holes: list[Compared] = field(default_factory=list)
    uncompared: list[Uncompared] = field(default_factory=list)

    def add(self, found: Compared | Uncompared) -> None:
        if isinstance(found, Uncompared):
            self.uncompared.append(found)
            return
        self.conversations += 1
        for name in ("listed", "stored", "unavailable", "missing"):
            setattr(self, name, getattr(self, name) + getattr(found, name))
        if found.missing:
            self.holes.append(found)

    @property
    def is_whole(self) -> bool:
        return not self.holes and not self.uncompared


def reconcile(
    platform: Annotated[Platform | None, typer.Argument(help="With ID: only that account.")] = None,
    account_id: Annotated[str | None, typer.Argument(metavar="ID")] = None,
    by_ids: Annotated[
        bool, typer.Option("--ids", help="Compare every message by id, even if the numbers add up.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Compare the messages on the platform with those stored, by conversation. Status 1 if any is missing.

    If the listing gives no number of messages, or one that does not add up, the conversation's pages are counted.
    """
    if (platform is None) != (account_id is None):
        raise typer.BadParameter("name both PLATFORM and ID, or neither")
    with Console(stderr=True, highlight=False).status("comparing") as status:
        reports = asyncio.run(_reconcile(BackfillSettings(), platform, account_id, by_ids, status))
    if as_json:
        print(json.dumps([report_json(report) for report in reports]))
    else:
        for report in reports:
            show(Console(highlight=False), report_view(report))
    if not reports:
        print("leadstream: there is no such account; `leadstream accounts list` shows all", file=sys.stderr)
    raise typer.Exit(0 if reports and all(report.is_whole for report in reports) else 1)


async def _reconcile(
    settings: BackfillSettings, platform: Platform | None, account_id: str | None, by_ids: bool, status: Status
) -> list[ReconcileReport]:
    vault = vault_from(settings)
    async with open_database(settings.mongo_url.get_secret_value()) as database, ClientSession() as session:
        every = await AccountStore(database).all()
        named = [
            each for each in every if platform is None or (each.platform, each.account_id) == (platform, account_id)
        ]
        return [await _compare(settings, vault, database, session, each, by_ids, status) for each in named]


async def _compare(
    settings: BackfillSettings, vault: TokenVault, database: Database, session: ClientSession, account: Account,
    by_ids: bool, status: Status,
) -> ReconcileReport:  # fmt: skip
    report, name = ReconcileReport(account), Text(f"{account.platform.capitalize()} {account.name}")

    def throttled(seconds: float) -> None:
        status.update(Text.assemble(name, f": throttled, next call in {duration(seconds)}"))

    governor = governor_for(database, account, throttled)
    client = backfill_client(settings, session, governor, token_of(vault, account))
    async for found in Reconciler(account, client, database, settings.backfill_page_size, by_ids).compare():
        report.add(found)
        status.update(Text.assemble(name, f": {report.conversations:,} conversations compared"))
    return report


def report_view(report: ReconcileReport) -> Iterator[Text | Table]:
    account = report.account
    yield Text.assemble(
        (f"{account.platform.capitalize()} {account.name}", "bold"), f"  {account.account_id}  ",
        ("nothing missing", "green") if report.is_whole else ("not whole", "red"),
    )  # fmt: skip
    yield Text(
        f"  {report.conversations:,} conversations: {report.listed:,} messages listed, {report.stored:,} stored, "
        f"{report.unavailable:,} not shown, {report.missing:,} missing"
    )
    if report.holes:
        yield _holes_table(report.holes)
        yield Text(f"  `leadstream backfill run {account.platform} {account.account_id} --again` fills them")
    for each in report.uncompared:
        yield Text(f"  ! {each.thread_id or 'the rest of the account'} could not be compared: {each.reason}", "red")


def _holes_table(holes: list[Compared]) -> Table:
    """Fits into 80 columns: names are cut."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("  customer", no_wrap=True)
    table.add_column("name", no_wrap=True, overflow="ellipsis", max_width=18)
    for column in ("listed", "by", "stored", "not shown", "missing"):
        table.add_column(column, no_wrap=True, justify="left" if column == "by" else "right")
    for hole in holes:
        counts = (f"{hole.listed:,}", hole.counted_by, f"{hole.stored:,}", f"{hole.unavailable:,}")
        name = Text(hole.name or "–")
        table.add_row(f"  {hole.key.customer_id}", name, *counts, Text(f"{hole.missing:,}", "red"))
    return table


def report_json(report: ReconcileReport) -> dict[str, Any]:
    account = report.account
    sums = {name: getattr(report, name) for name in ("conversations", "listed", "stored", "unavailable", "missing")}
    holes = [{**asdict(hole), "key": str(hole.key), "name": hole.name} for hole in report.holes]
    return {
        "platform": account.platform.value, "account_id": account.account_id, "is_whole": report.is_whole, **sums,
        "holes": [{"conversation": hole.pop("key"), **hole} for hole in holes],
        "uncompared": [asdict(each) for each in report.uncompared],
    }  # fmt: skip
