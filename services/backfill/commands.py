"""`leadstream backfill …`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from services.backfill.accounts import AccountStore
from services.backfill.app import WrongKeysError, open_tools, run_accounts
from services.backfill.display import runs_table, summary
from services.backfill.runs import RunStore
from shared.ids import Platform
from shared.logging import configure_logging
from shared.mongo import open_database
from shared.runs import Run, RunState
from shared.settings import BackfillSettings

backfill_app = typer.Typer(help="Read the history of conversations onto the topic.", no_args_is_help=True)


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
