"""`leadstream accounts …` and `leadstream backfill …`."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.backfill.accounts import AccountStore
from services.backfill.app import WrongKeysError, open_tools, open_vault, run_accounts
from services.backfill.display import runs_table, summary
from services.backfill.runs import RunStore
from shared.accounts import Account
from shared.ids import Platform, is_usable_id
from shared.logging import configure_logging
from shared.mongo import open_database
from shared.pipelines import Mode
from shared.runs import Run, RunState
from shared.settings import BackfillSettings

accounts_app = typer.Typer(help="The Pages and Instagram accounts whose conversations are read.", no_args_is_help=True)
backfill_app = typer.Typer(help="Read the history of conversations onto the topic.", no_args_is_help=True)


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


@backfill_app.command("run")
def run(
    platform: Annotated[Platform | None, typer.Argument(help="With ID: only that account.")] = None,
    account_id: Annotated[str | None, typer.Argument(metavar="ID")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON at the end.")] = False,
) -> None:
    """Read every account's conversations, or one account's. Status 0 only if all were read in full."""
    if (platform is None) != (account_id is None):
        raise typer.BadParameter("name both PLATFORM and ID, or neither")
    settings = BackfillSettings()
    configure_logging(settings.log_level, as_json=settings.log_json)
    console = Console(stderr=as_json, highlight=False)
    try:
        outcomes = asyncio.run(_run(settings, platform, account_id, console))
    except WrongKeysError as error:
        _fail(str(error))
    for outcome in outcomes:
        if console.is_terminal and isinstance(outcome, Run) and outcome.state is RunState.COMPLETED:
            continue  # the live table stands there and says as much
        console.print(summary(outcome) if isinstance(outcome, Run) else outcome, soft_wrap=True, markup=False)
    runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
    if as_json:
        print(json.dumps([each.model_dump(mode="json") for each in runs]))
    done = sum(each.state is RunState.COMPLETED for each in runs)
    raise typer.Exit(0 if done == len(outcomes) else 1)


async def _run(
    settings: BackfillSettings, platform: Platform | None, account_id: str | None, console: Console
) -> list[Run | str]:
    async with open_tools(settings) as tools:
        every = await tools.accounts.all()
        accounts = [
            each for each in every if platform is None or (each.platform, each.account_id) == (platform, account_id)
        ]
        if not accounts:
            _fail("there is no such account; `leadstream accounts add` adds one")
        return await run_accounts(tools, accounts, console)


@backfill_app.command("list")
def list_runs(limit: Annotated[int, typer.Option(min=1)] = 20) -> None:
    """Show the newest runs."""

    async def read() -> tuple[list[Run], dict[str, str]]:
        async with open_database(settings.mongo_url.get_secret_value()) as database:
            names = {account.key: account.name for account in await AccountStore(database).all()}
            return await RunStore(database).newest(limit), names

    settings = BackfillSettings()
    Console().print(runs_table(*asyncio.run(read())))


@backfill_app.command("show")
def show(run_id: Annotated[str, typer.Argument(help="The run's id or the beginning of it.")]) -> None:
    """Show one run as JSON, with the conversations that failed and why."""

    async def read() -> list[Run]:
        async with open_database(settings.mongo_url.get_secret_value()) as database:
            return await RunStore(database).beginning_with(run_id)

    settings = BackfillSettings()
    found = asyncio.run(read())
    if len(found) != 1:
        _fail(f"{'several runs begin' if found else 'no run begins'} with {run_id!r}")
    print(found[0].model_dump_json(indent=2))


def _fail(message: str) -> NoReturn:
    print(f"leadstream: {message}", file=sys.stderr)
    raise typer.Exit(1)
