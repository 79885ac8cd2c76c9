"""How a process of ours starts and ends."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvloop

from shared.runtime.logging import configure_logging
from shared.runtime.settings import Settings

DRAIN_LIMIT_SECONDS = 9.0
"""After a signal: a supervisor kills after 10 s, and what is not acknowledged by then is not lost but done again."""
THREADS_LIMIT_SECONDS = 1.0
"""After all is done."""

M_MMAP_THRESHOLD, LARGE_BYTES = -3, 64 * 1024
"""The option's number in glibc's malloc.h."""

Main = Callable[[asyncio.Event], Awaitable[int | None]]


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


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait up to `seconds` for `stop` and return whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


def _exit_in(seconds: float, status: int) -> None:
    """Ends the process then, whatever its threads wait for: a model, a server that is away."""
    watchdog = threading.Timer(seconds, os._exit, (status,))
    watchdog.daemon = True
    watchdog.start()


def reduce_garbage_collection() -> None:
    """Looks for reference cycles a thirtieth as often as Python does by itself, and no more among what is loaded.

    A service that holds many small objects for a moment each spends a tenth of its time on looking, and makes hardly
    any cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def return_large_buffers() -> None:
    """Has the C library take each buffer of 64 KB or more from the system, and give it back when it is let go of.

    glibc stops doing so after the first such one was: what a consumer fetches then lies between small objects and
    leaves holes. The analyzer had grown to 590 MB when a run of a million messages was stopped. Elsewhere there is
    nothing to be told.
    """
    if (tell := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        tell(M_MMAP_THRESHOLD, LARGE_BYTES)


def run_service(settings: Settings, main: Main) -> int:
    """Runs `main(stop)` on uvloop and returns the exit status that it gives, 0 for None.

    `stop` is set on SIGTERM and SIGINT: finish what is begun, then return.

    The process ends within 10 s of that in any case, with status 1 where `main` had not returned.
    """
    configure_logging(settings.log_level, as_json=settings.log_json)

    async def run() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            stop.set()
            _exit_in(DRAIN_LIMIT_SECONDS, 1)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        status = await main(stop) or 0
        _exit_in(THREADS_LIMIT_SECONDS, status)
        return status

    return uvloop.run(run())
