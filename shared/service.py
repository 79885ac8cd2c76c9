"""How a process of ours starts and ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvloop

from shared.logging import configure_logging
from shared.settings import Settings

Main = Callable[[asyncio.Event], Awaitable[None]]


async def run_until(stop: asyncio.Event, grace_seconds: float, *works: Coroutine[Any, Any, None]) -> bool:
    """Runs `works` together; each ends by itself after `stop`. Whether all did within `grace_seconds` of it.

    What did not is cancelled. An exception in one cancels the others and is raised in an exception group.
    """
    try:
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
            await stop.wait()
            limit.reschedule(asyncio.get_running_loop().time() + grace_seconds)
            await asyncio.wait(tasks)
    except TimeoutError:
        return False
    return True


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
