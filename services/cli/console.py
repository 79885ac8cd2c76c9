"""`leadstream console`."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from services.console.app import run
from services.console.auth.authentication import Authentication, authentication_of
from services.console.auth.passwords import hashed
from services.console.ports import Ports
from shared.runtime.service import run_service
from shared.runtime.settings import ConsoleSettings


def console_command(ports: Ports) -> Callable[..., None]:
    """`ports` are other services' doings, which the composition root knows."""

    def console(
        new_hash: Annotated[
            bool, typer.Option("--hash", help="Read a password and print its hash for LEADSTREAM_CONSOLE_PASSWORD.")
        ] = False,
    ) -> None:
        """Serve the page where people see contacts and start syncs."""
        if new_hash:
            typer.echo(hashed(_password()))
            return
        settings = ConsoleSettings()
        auth = _auth(settings)
        say = lambda address: typer.echo(f"The console is at {address}")  # noqa: E731
        raise typer.Exit(run_service(settings, lambda stop: run(settings, auth, ports, say, stop)))

    return console


def _auth(settings: ConsoleSettings) -> Authentication:
    try:
        return authentication_of(settings)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _password() -> str:
    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not password:
        raise typer.BadParameter("standard input must be the password")
    return password
