"""`leadstream accounts …` and `leadstream backfill …`: the backfill's composition root."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, NoReturn

import typer
from aiohttp import ClientSession
from aiolimiter import AsyncLimiter
from rich.console import Console
from rich.table import Table

from services.backfill.accounts import AccountStore
from services.backfill.crawl import Crawl, PublishEvents, Tally
from services.backfill.display import live, runs_table, summary
from services.backfill.runs import ActiveRunError, RunStore
from shared.accounts import Account
from shared.clock import utc_now
from shared.crypto import TokenVault
from shared.events import Event, dump_event, event_headers
from shared.graph import GraphClient
from shared.ids import Platform, is_usable_id
from shared.kafka import Record, Topics, open_producer, publish
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
    if not is_usable_id(account_id):
        raise typer.BadParameter(f"{account_id!r} is not an account's id")
    token = sys.stdin.read().strip()
    if not token:
        raise typer.BadParameter("the access token is read from standard input, which was empty")
    settings = BackfillSettings()
    encrypted = _vault(settings).encrypt(token)
    account = Account(
        platform=platform, account_id=account_id, page_id=page or account_id, name=name, encrypted_token=encrypted,
        pipeline=pipeline, mode=mode,
    )  # fmt: skip
    asyncio.run(_put(settings, account))
    print(f"{account.key} added")


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
        table.add_row(each.platform, each.account_id, each.page_id, each.name, each.pipeline or "–", each.mode)
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
        runs = asyncio.run(_run(settings, platform, account_id, console))
    except ActiveRunError as error:
        _fail(str(error))
    if as_json:
        print(json.dumps([each.model_dump(mode="json") for each in runs]))
    raise typer.Exit(0 if all(each.state is RunState.COMPLETED for each in runs) else 1)


async def _run(
    settings: BackfillSettings, platform: Platform | None, account_id: str | None, console: Console
) -> list[Run]:
    async with _tools(settings) as tools:
        everyone = await tools.accounts.all()
        accounts = [
            each for each in everyone if platform is None or (each.platform, each.account_id) == (platform, account_id)
        ]
        if not accounts:
            _fail("there is no such account; `leadstream accounts add` adds one")
        crawls = [await _crawl(settings, account, tools) for account in accounts]
        with live(console, crawls):
            tasks = [asyncio.create_task(crawl.execute()) for crawl in crawls]
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, _cancel, tasks)
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for failure in ended:
            if isinstance(failure, Exception):
                raise failure
        stored = [await tools.runs.get(crawl.run.run_id) for crawl in crawls]
        runs = [each for each in stored if each]
        for each in runs:
            console.print(summary(each), soft_wrap=True)
        return runs


def _cancel(tasks: list[asyncio.Task[Run]]) -> None:
    for task in tasks:
        task.cancel()


@dataclass(frozen=True, slots=True)
class Tools:
    """What all runs of one process share."""

    session: ClientSession
    accounts: AccountStore
    runs: RunStore
    publish: PublishEvents
    vault: TokenVault


@asynccontextmanager
async def _tools(settings: BackfillSettings) -> AsyncIterator[Tools]:
    vault, topics = _vault(settings), Topics(settings.topic_prefix)
    async with (
        open_database(settings.mongo_url.get_secret_value()) as database,
        open_producer(settings.kafka_bootstrap_servers) as producer,
        ClientSession() as session,
    ):

        async def publish_events(events: list[Event]) -> None:
            await publish(producer, [_record(topics, event) for event in events])

        yield Tools(session, AccountStore(database), RunStore(database, utc_now), publish_events, vault)


def _record(topics: Topics, event: Event) -> Record:
    return Record(topics.message_events, str(event.conversation).encode(), dump_event(event), event_headers(event))


async def _crawl(settings: BackfillSettings, account: Account, tools: Tools) -> Crawl:
    tally = Tally()

    def throttled(seconds: float) -> None:
        tally.throttled_until = utc_now() + timedelta(seconds=seconds)

    secrets = [secret.get_secret_value() for secret in settings.app_secrets]
    client = GraphClient(
        session=tools.session,
        base_url=settings.graph_url,
        version=settings.graph_version,
        token=tools.vault.decrypt(account.encrypted_token),
        app_secret=secrets[0] if secrets else None,
        limiter=AsyncLimiter(1, 0.5) if account.platform is Platform.INSTAGRAM else None,
        timeout_seconds=settings.graph_timeout_seconds,
        deadline_seconds=settings.graph_deadline_seconds,
        on_throttled=throttled,
    )
    return Crawl(
        account=account,
        run=await tools.runs.begin(account),
        client=client,
        store=tools.runs,
        publish=tools.publish,
        clock=utc_now,
        page_size=settings.backfill_page_size,
        parallelism=settings.backfill_parallelism,
        tally=tally,
    )


@backfill_app.command("list")
def list_runs(limit: Annotated[int, typer.Option(min=1)] = 20) -> None:
    """Show the newest runs."""

    async def read() -> tuple[list[Run], dict[str, str]]:
        async with open_database(settings.mongo_url.get_secret_value()) as database:
            names = {account.key: account.name for account in await AccountStore(database).all()}
            return await RunStore(database, utc_now).newest(limit), names

    settings = BackfillSettings()
    Console().print(runs_table(*asyncio.run(read())))


@backfill_app.command("show")
def show(run_id: Annotated[str, typer.Argument(help="The run's id or the beginning of it.")]) -> None:
    """Show one run as JSON, with the conversations that failed and why."""

    async def read() -> list[Run]:
        async with open_database(settings.mongo_url.get_secret_value()) as database:
            return await RunStore(database, utc_now).newest(1000)

    settings = BackfillSettings()
    found = [each for each in asyncio.run(read()) if each.run_id.startswith(run_id)]
    if len(found) != 1:
        _fail(f"{len(found)} runs begin with {run_id!r}")
    print(found[0].model_dump_json(indent=2))


def _vault(settings: BackfillSettings) -> TokenVault:
    try:
        return TokenVault([key.get_secret_value() for key in settings.encryption_keys])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _fail(message: str) -> NoReturn:
    print(f"leadstream: {message}", file=sys.stderr)
    raise typer.Exit(1)
