"""`leadstream accounts …`."""

from __future__ import annotations

import getpass
import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.backfill.accounts.account_jobs import check_all, find_all
from services.backfill.accounts.health import AccountHealth, health_json
from services.backfill.accounts.import_accounts import merged
from services.backfill.clients import require_answer
from services.cli import account_views as views
from services.cli.common import fail, with_database
from services.console.accounts.form import InvalidAccountError, request_from_form, with_settings
from services.console.api.requests import AccountSettings
from shared.contract.ids import Platform, is_usable_id
from shared.domain.accounts import UTC_NAME, Account, parse_every
from shared.domain.pipelines import Mode
from shared.graph_api.errors import GraphError
from shared.runtime.clock import time_zone
from shared.runtime.crypto import vault_from
from shared.runtime.settings import BackfillSettings
from shared.store.accounts import AccountInUseError, AccountStore
from shared.store.mongo import Database
from shared.store.pipelines import PipelineStore

accounts_app = typer.Typer(help="The Pages and Instagram accounts whose conversations are read.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="Page id, or Instagram professional account id.")]
TokenFile = Annotated[Path | None, typer.Option(help="File with the access token; default: standard input.")]
AsJson = Annotated[bool, typer.Option("--json")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def _every(text: str) -> int:
    try:
        return parse_every(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _time_zone(text: str) -> str:
    try:
        return time_zone(text).key
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@accounts_app.command("add")
def add(
    platform: Platform,
    account_id: Id,
    name: Annotated[str, typer.Option(help="The name that people know it by.")],
    page: Annotated[str, typer.Option(help="Its Page; required for Instagram.")] = "",
    pipeline: Annotated[str | None, typer.Option(help="The pipeline of its contacts.")] = None,
    mode: Annotated[
        Mode, typer.Option(help="Whether an analysis may change a stage that is set.")
    ] = Mode.SKIP_EXISTING,
    every: Annotated[
        int | None, typer.Option(parser=_every, metavar="30m|6h|1d", help="How often a worker reads it.")
    ] = None,
    timezone: Annotated[
        str, typer.Option(parser=_time_zone, metavar="ZONE", help="Of the business, as Europe/Berlin.")
    ] = UTC_NAME,
    token_file: TokenFile = None,
) -> None:
    """Add or replace an account. Its access token is read from standard input and stored encrypted."""
    if platform is Platform.INSTAGRAM and not page:
        raise typer.BadParameter("an Instagram account needs its Page: --page PAGE_ID")
    for each in (account_id, page or account_id):
        if not is_usable_id(each):
            raise typer.BadParameter(f"{each!r} is not an id")
    settings = BackfillSettings()
    encrypted = vault_from(settings).encrypt(_read_token(token_file))
    account = Account(
        platform=platform, account_id=account_id, page_id=page or account_id, name=name, encrypted_token=encrypted,
        pipeline=pipeline, mode=mode, every_seconds=every, timezone=timezone,
    )  # fmt: skip
    with_database(settings, lambda database: _put(database, account))
    print(f"{account.key} added")


async def _put(database: Database, account: Account) -> None:
    if account.pipeline and await PipelineStore(database).get(account.pipeline) is None:
        raise typer.BadParameter(f"no pipeline {account.pipeline!r}; `leadstream pipelines list` shows all")
    await AccountStore(database).put(account)


@accounts_app.command("edit")
def edit(
    platform: Platform,
    account_id: Id,
    name: Annotated[str | None, typer.Option(help="The name that people know it by.")] = None,
    pipeline: Annotated[str | None, typer.Option(help="The pipeline of its contacts; '' for none.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="Whether an analysis may change a stage that is set.")] = None,
    every: Annotated[
        str | None, typer.Option(metavar="30m|6h|1d", help="How often a worker reads it; '' stops.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(metavar="ZONE", help="Of the business, as Europe/Berlin.")] = None,
) -> None:
    """Change settings of an account. What is left out stays, and so does its token."""
    options = {"name": name, "pipeline": pipeline, "mode": mode, "every": every, "timezone": timezone}
    given = {key: value for key, value in options.items() if value is not None}

    async def go(database: Database) -> None:
        (account,) = await _named(AccountStore(database), platform, account_id)
        pipelines = [each.name for each in await PipelineStore(database).all()]
        await AccountStore(database).save_choices(
            with_settings(account, request_from_form(AccountSettings, given), pipelines)
        )
        print(f"{account.key} changed")

    try:
        with_database(BackfillSettings(), go)
    except InvalidAccountError as error:
        raise typer.BadParameter(f"--{error.at}: {error}") from None


@accounts_app.command("import")
def import_accounts(token_file: TokenFile = None, yes: Yes = False) -> None:
    """Add all Pages that a user's token gives access to, and their Instagram accounts, each with its Page's own token.

    For known accounts only the token and the Page are renewed.
    """
    settings, console = BackfillSettings(), Console(highlight=False)
    vault, token = vault_from(settings), _read_token(token_file)

    async def read_known(database: Database) -> list[Account]:
        return await AccountStore(database).all()

    known = {account.key: account for account in with_database(settings, read_known)}
    answer = with_database(settings, lambda database: find_all(settings, database, token))
    if isinstance(answer, GraphError):
        fail(f"the Pages could not be listed: {require_answer(answer)}")
    found, withheld = answer
    console.print(views.found_table(found, known.keys()))
    if withheld:
        console.print(f"The user has not granted: {', '.join(withheld)}", style="yellow", markup=False)
    if not found:
        fail("this token gives access to no Page; grant the app the Pages, and a role on them to the user")
    if not yes and not _agreed(f"Add or renew these {len(found)}?"):
        fail("nothing was added; `--yes` adds them")

    async def put_all(database: Database) -> None:
        for each in found:
            await AccountStore(database).put(merged(each, known.get(each.key), vault))

    with_database(settings, put_all)
    print(f"{len(found)} accounts added or renewed")


@accounts_app.command("list")
def list_accounts(as_json: AsJson = False) -> None:
    """Show the accounts, without their tokens."""
    accounts = with_database(BackfillSettings(), lambda database: AccountStore(database).all())
    if as_json:
        print(json.dumps([account.model_dump(mode="json", exclude={"encrypted_token"}) for account in accounts]))
    else:
        Console(highlight=False).print(views.accounts_table(accounts))


@accounts_app.command("check")
def check(
    platform: Annotated[Platform | None, typer.Argument(help="With ID: only that account.")] = None,
    account_id: Annotated[str | None, typer.Argument(metavar="ID")] = None,
    subscribe: Annotated[bool, typer.Option("--subscribe", help="Subscribe the Page's missing webhooks.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check tokens, permissions and webhooks. Status 1 if any account has a problem."""
    settings = BackfillSettings()

    async def go(database: Database) -> list[AccountHealth]:
        accounts = await _named(AccountStore(database), platform, account_id)
        return await check_all(settings, database, accounts, subscribe=subscribe)

    healths = with_database(settings, go)
    if as_json:
        print(json.dumps([health_json(health) for health in healths]))
    else:
        for health in healths:
            views.show(Console(highlight=False), views.health_view(health))
    raise typer.Exit(0 if all(health.is_well for health in healths) else 1)


@accounts_app.command("remove")
def remove(platform: Platform, account_id: Id, yes: Yes = False) -> None:
    """Remove an account and its token. Its contacts, conversations and runs stay."""
    settings = BackfillSettings()

    async def go(database: Database) -> None:
        store = AccountStore(database)
        (account,) = await _named(store, platform, account_id)
        if not yes and not _agreed(f"Remove {account.key}, {account.name}?"):
            fail("nothing was removed; `--yes` removes it")
        await store.remove(account)
        print(f"{account.key} removed")

    try:
        with_database(settings, go)
    except AccountInUseError as error:
        fail(str(error))


@accounts_app.command("rotate")
def rotate() -> None:
    """Encrypt all tokens with the first of LEADSTREAM_ENCRYPTION_KEYS, so that the others can be dropped."""
    settings = BackfillSettings()
    vault = vault_from(settings)

    async def go(database: Database) -> list[str]:
        store, lost = AccountStore(database), []
        for account in await store.all():
            try:
                await store.rotate(account, vault)
            except ValueError:
                lost.append(account.key)
        return lost

    if lost := with_database(settings, go):
        fail(f"none of the keys is that of {', '.join(lost)}: add the old key, or add the account again")
    print("all tokens are encrypted with the first key")


async def _named(accounts: AccountStore, platform: Platform | None, account_id: str | None) -> list[Account]:
    if (platform is None) != (account_id is None):
        raise typer.BadParameter("name both PLATFORM and ID, or neither")
    if platform is None or account_id is None:
        return await accounts.all() or fail("there is no account; `leadstream accounts add` adds one")
    account = await accounts.get(platform, account_id)
    return [account] if account else fail("there is no such account; `leadstream accounts list` shows all")


def _read_token(file: Path | None) -> str:
    """Read the token without echo. BadParameter, which contains nothing of it, if there is anything but one token."""
    try:
        if file:
            token = file.read_text()
        else:
            token = getpass.getpass("Access token: ") if sys.stdin.isatty() else sys.stdin.read()
    except (OSError, UnicodeDecodeError):
        raise typer.BadParameter(f"the token cannot be read from {file or 'standard input'}") from None
    if not re.fullmatch(r"[!-~]+", token.strip()):
        raise typer.BadParameter(f"{file or 'standard input'} must be the access token, and nothing else")
    return token.strip()


def _agreed(question: str) -> bool:
    return sys.stdin.isatty() and typer.confirm(question)
