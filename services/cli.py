"""The `leadstream` command: the one place where the services are put together."""

from __future__ import annotations

import sys

import typer
from pydantic import ValidationError

from services.analyzer.analyse_command import analyse
from services.analyzer.commands import analyzer
from services.analyzer.contact_commands import contacts_app
from services.analyzer.dlq_commands import dlq_app
from services.analyzer.forgetting import forget_customer
from services.analyzer.pipeline_commands import pipelines_app
from services.analyzer.trace_command import trace
from services.backfill.account_commands import accounts_app
from services.backfill.commands import backfill_app
from services.backfill.health import check_account
from services.backfill.reconcile_command import reconcile
from services.console.commands import console_command
from services.console.ports import Ports
from services.contracts import schema
from services.demo.commands import demo
from services.receiver.again import read_again
from services.receiver.commands import receiver
from services.setup import config, setup
from services.simulator.commands import simulator
from shared.failures import UnreachableError
from shared.settings import Settings

EXIT_USAGE = 2
EXIT_UNREACHABLE = 3

app = typer.Typer(
    name="leadstream",
    help="Messenger and Instagram conversations in, scored and summarised contacts out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(accounts_app, name="accounts")
app.add_typer(backfill_app, name="backfill")
app.add_typer(contacts_app, name="contacts")
app.add_typer(dlq_app(read_again), name="dlq")
app.add_typer(pipelines_app, name="pipelines")
app.command()(demo)
app.command()(receiver)
app.command()(analyzer)
app.command("console")(console_command(Ports(forget_customer, check_account, read_again)))
app.command()(analyse)
app.command()(trace)
app.command()(simulator)
app.command()(setup)
app.command()(reconcile)
app.command()(schema)
app.command()(config)


def main() -> None:
    """Exit status: 0 done, 1 the job failed or found a hole, 2 wrong usage, 3 a server could not be reached."""
    try:
        app()
    except UnreachableError as error:
        _die(str(error), EXIT_UNREACHABLE)
    except ValidationError as error:
        if error.title not in _settings_classes(Settings):
            raise
        names = ", ".join(f"LEADSTREAM_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        _die(f"wrong settings: {names}", EXIT_USAGE)


def _settings_classes(base: type[Settings]) -> set[str]:
    return {base.__name__}.union(*map(_settings_classes, base.__subclasses__()))


def _die(message: str, status: int) -> None:
    print(f"leadstream: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
