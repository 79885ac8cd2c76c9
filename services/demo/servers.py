"""Runs a broker and a MongoDB server as child processes, for a machine without them (ADR 3)."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from shared.contract.failures import UnreachableError
from shared.store.mongo import open_database

START_SECONDS = 30


@asynccontextmanager
async def embedded_servers(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Yield (bootstrap servers, MongoDB URL). Data and logs are in `folder`.

    UnreachableError when one does not start, or the extra `embedded` is not installed.
    """
    secantus = shutil.which("secantusd-py", path=f"{Path(sys.executable).parent}:{Path(sys.prefix) / 'bin'}")
    if secantus is None or find_spec("confluent_kafka") is None:
        raise UnreachableError("the demo's servers are not installed: pip install 'leadstream[embedded]'")
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(
            _child(folder / "broker.log", sys.executable, "-m", "services.demo.broker")
        )
        port, storage = free_port(), folder / "mongo"
        storage.mkdir(exist_ok=True)
        arguments = ("--port", str(port), "--storage-path", str(storage), "--log-level", "WARNING")
        await stack.enter_async_context(_child(folder / "mongo.log", secantus, *arguments))
        url = f"mongodb://127.0.0.1:{port}/leadstream?directConnection=true"
        yield await _bootstrap_servers(broker, folder / "broker.log"), await _wait_for_mongo(url)


async def _bootstrap_servers(broker: asyncio.subprocess.Process, log: Path) -> str:
    if broker.stdout is None:
        raise UnreachableError("the embedded broker has no output")
    async with asyncio.timeout(START_SECONDS):
        line = await broker.stdout.readline()
    if not line:
        raise UnreachableError(f"the embedded broker did not start; see its log {log}")
    return str(json.loads(line)["bootstrap_servers"])


async def _wait_for_mongo(url: str) -> str:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with open_database(url):
                    return url
            except UnreachableError:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def _child(log: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("wb") as sink:
        child = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=sink,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
