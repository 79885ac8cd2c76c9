"""How a process of ours starts and ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import uvloop

from shared.logging import configure_logging
from shared.settings import Settings

Main = Callable[[asyncio.Event], Awaitable[None]]


def run_service(settings: Settings, main: Main) -> None:
    """Runs `main(stop)` on uvloop. `stop` is set on SIGTERM and SIGINT: finish what is begun, then return."""
    configure_logging(settings.log_level, as_json=settings.log_json)

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await main(stop)

    uvloop.run(run())
