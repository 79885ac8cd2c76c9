"""Helpers of the commands."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import typer

from shared.runtime.settings import MongoSettings
from shared.store.mongo import Database, open_database

Result = TypeVar("Result")


def with_database(settings: MongoSettings, work: Callable[[Database], Awaitable[Result]]) -> Result:
    """Return what `work` returns. UnreachableError when no server answers."""

    async def go() -> Result:
        async with open_database(settings.mongo_url.get_secret_value()) as database:
            return await work(database)

    return asyncio.run(go())


def fail(message: str) -> NoReturn:
    """Print the message and end the command with status 1."""
    print(f"leadstream: {message}", file=sys.stderr)
    raise typer.Exit(1)
