"""`leadstream backfill …`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Annotated, NoReturn

import typer
import uvloop
from rich.console import Console

from services.backfill.app import open_resources, run_accounts, run_worker
from services.backfill.clients import token_of
from services.cli.backfill_display import runs_table, showing, summary
from services.cli.common import fail, with_database
from shared.contract.failures import UnreachableError
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.runs import ACTIVE_STATES, Run, RunState, is_abandoned
from shared.runtime.crypto import vault_from
from shared.runtime.logging import configure_logging
from shared.runtime.service import run_service
from shared.runtime.settings import BackfillSettings
from shared.store.accounts import AccountStore
from shared.store.mongo import ConnectionFailure, Database, server_time
from shared.store.runs import ActiveRunError, NotResumableError, RunStore

CANCEL_WAIT_SECONDS = 12.0
"""How long `cancel` waits: two seconds suffice if the run's process lives, otherwise its lease must expire."""

backfill_app = typer.Typer(help="Read the history of conversations onto the topic.", no_args_is_help=True)

AccountsOf = Callable[[Database], Awaitable[list[Account]]]
AsJson = Annotated[bool, typer.Option("--json", help="Print the runs as JSON at the end.")]
ForWorkers = Annotated[bool, typer.Option("--queue", help="Queue it for the workers and exit.")]
Again = Annotated[bool, typer.Option("--again", help="Read everything again, to fill holes.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id or its beginning.")]


@backfill_app.command("run")
def run(
    platform: Annotated[Platform | None, typer.Argument(help="With ID: only that account.")] = None,
    account_id: Annotated[str | None, typer.Argument(metavar="ID")] = None,
    as_json: AsJson = False,
    queue: ForWorkers = False,
    again: Again = False,
) -> None:
    """Read every account's conversations, or one account's. Status 0 only if all were read in full."""
    if (platform is None) != (account_id is None):
        raise typer.BadParameter("name both PLATFORM and ID, or neither")
    settings = BackfillSettings()

    async def named(database: Database) -> list[Account]:
        every = await AccountStore(database).all()
        found = [
            each for each in every if platform is None or (each.platform, each.account_id) == (platform, account_id)
        ]
        return found or fail("there is no such account; `leadstream accounts add` adds one")

    if queue:
        _show_queued(with_database(settings, lambda database: _enqueue(database, named, again)), as_json)
    else:
        _run_here(settings, named, as_json, again)


@backfill_app.command("worker")
def worker() -> None:
    """Execute queued and scheduled runs, and those of killed processes. Any number of workers may run."""
    settings = BackfillSettings()
    vault_from(settings)
    raise typer.Exit(run_service(settings, lambda stop: run_worker(settings, stop)))


@backfill_app.command("list")
def list_runs(limit: Annotated[int, typer.Option(min=1)] = 20, as_json: AsJson = False) -> None:
    """Show the newest runs."""

    async def read(database: Database) -> tuple[list[Run], dict[str, str], datetime]:
        names = {account.key: account.name for account in await AccountStore(database).all()}
        return await RunStore(database).newest(limit), names, await server_time(database)

    runs, names, now = with_database(BackfillSettings(), read)
    if as_json:
        _print_json(runs)
        return
    left = [each for each in runs if is_abandoned(each, now)]
    Console().print(runs_table(runs, names, left))
    if left:
        print("no process: it died; a worker or the next `backfill run` continues the run")


@backfill_app.command("show")
def show(
    run_id: RunId,
    _as_json: Annotated[bool, typer.Option("--json", help="Has no effect: the output is always JSON.")] = False,
) -> None:
    """Show one run as JSON, with the conversations that failed and why."""
    found = with_database(BackfillSettings(), lambda database: _the_run(RunStore(database), run_id))
    print(found.model_dump_json(indent=2))


@backfill_app.command("cancel")
def cancel(run_id: RunId) -> None:
    """Cancel a run for good. What it has read stays and is not read again. Status 0 once it is CANCELLED."""
    ended = with_database(BackfillSettings(), lambda database: _cancel(RunStore(database), run_id))
    print(summary(ended))
    if ended.state in ACTIVE_STATES:
        fail("its process has not responded yet; the run ends as soon as it does")
    raise typer.Exit(0 if ended.state is RunState.CANCELLED else 1)


@backfill_app.command("resume")
def resume(run_id: RunId, as_json: AsJson = False, queue: ForWorkers = False) -> None:
    """Continue a run that is FAILED or PARTIAL from its checkpoints. Status as for `run`."""
    settings = BackfillSettings()

    async def queued(database: Database) -> list[Run | str]:
        run, _ = await _resumable(database, run_id)
        return [await _resume(database, run)]

    async def resumed(database: Database) -> list[Account]:
        run, account = await _resumable(database, run_id)
        token_of(vault_from(settings), account)  # otherwise the run would wait for a worker, and there may be none
        await _resume(database, run)
        return [account]

    if queue:
        _show_queued(with_database(settings, queued), as_json)
    else:
        _run_here(settings, resumed, as_json)


def _run_here(settings: BackfillSettings, accounts_of: AccountsOf, as_json: bool, is_anew: bool = False) -> NoReturn:
    configure_logging(settings.log_level, as_json=settings.log_json)
    console = Console(stderr=as_json, highlight=False)
    show = partial(showing, console)

    async def run_all() -> list[Run | str]:
        async with open_resources(settings) as resources:
            return await run_accounts(resources, await accounts_of(resources.database), show, is_anew=is_anew)

    try:
        outcomes = uvloop.run(run_all())
    except ConnectionFailure as error:
        raise UnreachableError("MongoDB has gone away; the next `backfill run` continues the started runs") from error
    for outcome in outcomes:
        if console.is_terminal and isinstance(outcome, Run) and outcome.state is RunState.COMPLETED:
            continue  # the live table shows it
        console.print(summary(outcome) if isinstance(outcome, Run) else outcome, soft_wrap=True, markup=False)
    runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
    if as_json:
        _print_json(runs)
    done = sum(each.state is RunState.COMPLETED for each in runs)
    raise typer.Exit(0 if done == len(outcomes) else 1)


def _show_queued(outcomes: list[Run | str], as_json: bool) -> None:
    runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
    for outcome in outcomes:
        queued = (
            f"{outcome.platform} {outcome.account_id}: {outcome.state}, run {outcome.run_id}"
            if isinstance(outcome, Run)
            else outcome
        )
        print(queued, file=sys.stderr if as_json else sys.stdout)
    if as_json:
        _print_json(runs)
    raise typer.Exit(0 if len(runs) == len(outcomes) else 1)


def _print_json(runs: list[Run]) -> None:
    print(json.dumps([each.model_dump(mode="json") for each in runs]))


async def _enqueue(database: Database, accounts_of: AccountsOf, is_anew: bool) -> list[Run | str]:
    outcomes: list[Run | str] = []
    for account in await accounts_of(database):
        try:
            outcomes.append(await RunStore(database).enqueue(account, is_anew=is_anew))
        except ActiveRunError as error:
            outcomes.append(str(error))
    return outcomes


async def _cancel(runs: RunStore, prefix: str) -> Run:
    """Return the run once it has ended, or as it is after CANCEL_WAIT_SECONDS."""
    run = await _the_run(runs, prefix)
    if run.state not in ACTIVE_STATES:
        fail(f"run {run.run_id} is {run.state} already")
    deadline = asyncio.get_running_loop().time() + CANCEL_WAIT_SECONDS
    while (run := await runs.cancel(run.run_id)).state in ACTIVE_STATES:
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.2)
    return run


async def _resumable(database: Database, prefix: str) -> tuple[Run, Account]:
    run = await _the_run(RunStore(database), prefix)
    account = await AccountStore(database).get(run.platform, run.account_id)
    if account is None:
        fail("its account was removed; `leadstream accounts add` adds it again")
    return run, account


async def _resume(database: Database, run: Run) -> Run:
    try:
        return await RunStore(database).resume(run.run_id)
    except (NotResumableError, ActiveRunError) as error:
        fail(str(error))


async def _the_run(runs: RunStore, prefix: str) -> Run:
    found = await runs.with_id_prefix(prefix)
    if len(found) != 1:
        fail(f"{'several runs begin' if found else 'no run begins'} with {prefix!r}")
    return found[0]
