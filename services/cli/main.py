"""The `leadstream` command: the only place that knows every service."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from shared.contract.failures import EXIT_UNREACHABLE, UnreachableError, WrongSettingsError
from shared.runtime.settings import Settings

EXIT_USAGE = 2


def _dlq() -> typer.Typer:
    from services.cli.dlq import dlq_app  # noqa: PLC0415
    from services.receiver.reparse import reparse  # noqa: PLC0415

    return dlq_app(reparse)


def _console() -> Callable[..., None]:
    from services.analyzer.erasure.port import customer_eraser  # noqa: PLC0415
    from services.backfill.accounts.check_port import account_check  # noqa: PLC0415
    from services.cli.console import console_command  # noqa: PLC0415
    from services.console.ports import Ports  # noqa: PLC0415
    from services.receiver.reparse import reparse  # noqa: PLC0415
    from shared.runtime.settings import AnalyzerSettings, BackfillSettings  # noqa: PLC0415

    return console_command(
        lambda: Ports(customer_eraser(AnalyzerSettings()), account_check(BackfillSettings()), reparse)
    )


COMMANDS: dict[str, str | Callable[[], Any]] = {
    "demo": "services.demo.command:demo",
    "receiver": "services.cli.receiver:receiver",
    "analyzer": "services.cli.analyzer:analyzer",
    "console": _console,
    "analyse": "services.cli.analyse:analyse",
    "evaluate": "services.cli.evaluate:evaluate",
    "train": "services.cli.train:train",
    "models": "services.cli.models:models_app",
    "trace": "services.cli.trace:trace",
    "simulator": "services.cli.simulator:simulator",
    "setup": "services.cli.setup:setup",
    "check": "services.cli.setup:check",
    "doctor": "services.cli.doctor:doctor",
    "reconcile": "services.cli.reconcile:reconcile",
    "schema": "services.cli.schema:schema",
    "config": "services.cli.setup:config",
    "accounts": "services.cli.accounts:accounts_app",
    "backfill": "services.cli.backfill:backfill_app",
    "contacts": "services.cli.contacts:contacts_app",
    "dlq": _dlq,
    "pipelines": "services.cli.pipelines:pipelines_app",
}


class Commands(TyperGroup):
    """Imports a command when it is called: importing all of them would double the start time of a service."""

    def list_commands(self, _context: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: Any, name: str) -> Any:
        return _command(name, _load(COMMANDS[name])) if name in COMMANDS else None

    def invoke(self, context: Any) -> Any:
        """Report a missing or malformed setting as wrong usage, whichever command reads it."""
        try:
            return super().invoke(context)
        except WrongSettingsError as error:
            raise typer.BadParameter(str(error)) from None


def _load(where: str | Callable[[], Any]) -> Any:
    if callable(where):
        return where()
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)


def _command(name: str, found: typer.Typer | Callable[..., Any]) -> Any:
    if isinstance(found, typer.Typer):
        found.info.name = name
        return typer.main.get_group(found)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)


app = typer.Typer(
    name="leadstream", cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)


@app.callback()
def leadstream() -> None:
    """Messenger and Instagram conversations in, scored and summarised contacts out."""


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
