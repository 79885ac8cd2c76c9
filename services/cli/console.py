"""`leadstream console`."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from services.console.app import run
from services.console.auth.authentication import Authentication, authentication_of
from services.console.auth.passwords import password_hash
from services.console.ports import Ports
from shared.runtime.service import run_service
from shared.runtime.settings import ConsoleSettings


def console_command(ports_of: Callable[[], Ports]) -> Callable[..., None]:
    """`ports_of` composes the functions of other services that the console uses; it reads their settings."""

    def console(
        new_hash: Annotated[
            bool, typer.Option("--hash", help="Read a password and print its hash for LEADSTREAM_CONSOLE_PASSWORD.")
        ] = False,
    ) -> None:
        """Serve the web pages where people see contacts and start syncs, and their API."""
        if new_hash:
            typer.echo(password_hash(_read_password()))
            return
        settings = ConsoleSettings()
        auth, ports = _authentication(settings), ports_of()
        announce = lambda address: typer.echo(f"The console is at {address}")  # noqa: E731
        raise typer.Exit(run_service(settings, lambda stop: run(settings, auth, ports, announce, stop)))

    return console


def _authentication(settings: ConsoleSettings) -> Authentication:
    try:
        return authentication_of(settings)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _read_password() -> str:
    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not password:
        raise typer.BadParameter("standard input must be the password")
    return password
