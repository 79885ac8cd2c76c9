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


def console_command(ports_of: Callable[[], Ports]) -> Callable[..., None]:
    """`ports_of` composes what other services do for the console; it reads their settings."""

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
        auth, ports = _auth(settings), ports_of()
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
