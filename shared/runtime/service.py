"""How a service's process starts and ends."""

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

from shared.runtime.logging import configure_logging, log_loop_error
from shared.runtime.settings import Settings

DRAIN_LIMIT_SECONDS = 9.0
"""Time to end after a signal: a supervisor kills after 10 s. Work that is not acknowledged by then is repeated."""
THREADS_LIMIT_SECONDS = 1.0
"""Time for other threads to end after the main function has returned."""

M_MMAP_THRESHOLD, LARGE_BYTES = -3, 64 * 1024
"""The option's number in glibc's malloc.h."""

Main = Callable[[asyncio.Event], Awaitable[int | None]]


async def run_until(stop: asyncio.Event, grace_seconds: float, *works: Coroutine[Any, Any, None]) -> bool:
    """Run `works` concurrently; each ends by itself after `stop`. Return whether all ended within `grace_seconds`.

    Those that did not are cancelled. An exception in one cancels the others and is raised in an exception group.
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
    """End the process after `seconds`, even if a thread still waits for a model or a server."""
    watchdog = threading.Timer(seconds, os._exit, (status,))
    watchdog.daemon = True
    watchdog.start()


def reduce_garbage_collection() -> None:
    """Collect reference cycles a thirtieth as often as by default, and never among the objects loaded so far.

    A service with many short-lived objects spends a tenth of its time on collection, and makes hardly any cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def return_large_buffers() -> None:
    """Make glibc allocate each buffer of 64 KB or more from the system and return it when it is freed.

    By default glibc raises that threshold after the first such buffer is freed. Fetched batches then lie between small
    objects and fragment the heap: the analyzer had grown to 590 MB when a run of a million messages was stopped. Other
    C libraries have no such option.
    """
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def run_service(settings: Settings, main: Main) -> int:
    """Run `main(stop)` on uvloop and return its exit status, 0 for None.

    `stop` is set on SIGTERM and SIGINT: `main` finishes the work in progress, then returns. The process ends within
    10 s of that in any case, with status 1 if `main` has not returned.
    """
    limit = configure_logging(settings.log_level, as_json=settings.log_json)

    async def run() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_loop_error)

        def end() -> None:
            stop.set()
            _exit_in(DRAIN_LIMIT_SECONDS, 1)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        status = await main(stop) or 0
        _exit_in(THREADS_LIMIT_SECONDS, status)
        return status

    try:
        return uvloop.run(run())
    finally:
        limit.report(at_end=True)
