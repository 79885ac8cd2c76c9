"""`leadstream accounts …`."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.backfill.accounts import AccountStore
from services.backfill.app import WrongKeysError, open_vault
from shared.accounts import Account
from shared.ids import Platform, is_usable_id
from shared.mongo import open_database
from shared.pipelines import Mode
from shared.settings import BackfillSettings

accounts_app = typer.Typer(help="The Pages and Instagram accounts whose conversations are read.", no_args_is_help=True)


@accounts_app.command("add")
def add(
    platform: Platform,
    account_id: Annotated[str, typer.Argument(metavar="ID", help="Page id, or Instagram professional account id.")],
    name: Annotated[str, typer.Option(help="How people call it.")],
    page: Annotated[str, typer.Option(help="The Page that serves it; needed for Instagram.")] = "",
    pipeline: Annotated[str | None, typer.Option(help="The pipeline whose stages its contacts get.")] = None,
    mode: Annotated[Mode, typer.Option(help="What an analysis may do to a stage that is set.")] = Mode.SKIP_EXISTING,
) -> None:
    """Add an account, or replace it; its access token is read from standard input and stored encrypted."""
    if platform is Platform.INSTAGRAM and not page:
        raise typer.BadParameter("an Instagram account is read through its Page: --page PAGE_ID")
    for each in (account_id, page or account_id):
        if not is_usable_id(each):
            raise typer.BadParameter(f"{each!r} is not an id")
    settings = BackfillSettings()
    encrypted = _encrypted(settings, sys.stdin.read().strip())
    account = Account(
        platform=platform, account_id=account_id, page_id=page or account_id, name=name, encrypted_token=encrypted,
        pipeline=pipeline, mode=mode,
    )  # fmt: skip
    asyncio.run(_put(settings, account))
    print(f"{account.key} added")


def _encrypted(settings: BackfillSettings, token: str) -> str:
    if not re.fullmatch(r"[!-~]+", token):
        raise typer.BadParameter("standard input must be the access token, and nothing else")
    try:
        return open_vault(settings).encrypt(token)
    except WrongKeysError as error:
        raise typer.BadParameter(str(error)) from None


async def _put(settings: BackfillSettings, account: Account) -> None:
    async with open_database(settings.mongo_url.get_secret_value()) as database:
        known = account.pipeline is None or await database.pipelines.find_one({"_id": account.pipeline})
        if not known:
            raise typer.BadParameter(f"no pipeline {account.pipeline!r}; `leadstream pipelines list` shows all")
        await AccountStore(database).put(account)


@accounts_app.command("list")
def list_accounts(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show the accounts, without their tokens."""
    accounts = asyncio.run(_accounts(BackfillSettings()))
    if as_json:
        print(json.dumps([account.model_dump(mode="json", exclude={"encrypted_token"}) for account in accounts]))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("platform", "id", "page", "name", "pipeline", "mode"):
        table.add_column(column)
    for each in accounts:
        cells = (each.platform, each.account_id, each.page_id, each.name, each.pipeline or "–", each.mode)
        table.add_row(*map(escape, cells))
    Console().print(table)


async def _accounts(settings: BackfillSettings) -> list[Account]:
    async with open_database(settings.mongo_url.get_secret_value()) as database:
        return await AccountStore(database).all()
