"""The demo's child processes: the same commands as in production, each with a log in the demo's folder."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

STOP_SECONDS = 10


class ChildFailedError(Exception):
    """A command of the demo failed. The message contains the end of its log."""


def command(*args: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "services.cli.main", *args)


async def run_to_end(*args: str, env: Mapping[str, str], stdin: str | None = None, show: bool = False) -> str:
    """Run `leadstream ARGS` and return its output, or print it to the terminal with `show`.

    ChildFailedError when its status is not 0.
    """
    output = None if show else asyncio.subprocess.PIPE
    errors = None if show else asyncio.subprocess.STDOUT
    child = await asyncio.create_subprocess_exec(
        *command(*args), env=env, stdin=asyncio.subprocess.PIPE, stdout=output, stderr=errors
    )
    try:
        printed, _ = await child.communicate((stdin or "").encode())
    finally:
        await _end(child)
    text = (printed or b"").decode(errors="replace")
    if child.returncode != 0:
        raise ChildFailedError(f"leadstream {' '.join(args)} exited with status {child.returncode}\n{text[-2000:]}")
    return text


@asynccontextmanager
async def process(name: str, *args: str, env: Mapping[str, str], folder: Path) -> AsyncIterator[Path]:
    """Run `leadstream ARGS` within the block, then end it with SIGTERM. Yields the file with its output."""
    log = folder / f"{name}.log"
    with log.open("wb") as sink:
        child = await asyncio.create_subprocess_exec(
            *command(*args), env=env, stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )
        try:
            yield log
            if child.returncode is not None:
                raise ChildFailedError(f"{name} exited with status {child.returncode}\n{log.read_text()[-2000:]}")
        finally:
            await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    child.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()
