"""How the concurrent work of a service ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from shared.runtime.service import run_until


async def test_work_that_ends_by_itself_is_awaited() -> None:
    stop, ended = asyncio.Event(), []

    async def work(name: str) -> None:
        await stop.wait()
        await asyncio.sleep(0)
        ended.append(name)

    asyncio.get_running_loop().call_soon(stop.set)
    assert await run_until(stop, 60, work("a"), work("b"))
    assert ended == ["a", "b"]


async def test_work_that_does_not_end_is_cancelled() -> None:
    stop, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    stop.set()
    assert not await run_until(stop, 0, work())
    assert cancelled.is_set()


async def test_a_failure_cancels_the_others_and_is_raised() -> None:
    cancelled = asyncio.Event()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("bug")

    async def works() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(ExceptionGroup) as raised:
        await run_until(asyncio.Event(), 60, works(), fails())
    assert raised.group_contains(KeyError)
    assert cancelled.is_set()


def test_a_large_buffer_is_returned_to_the_system() -> None:
    """Measures glibc's separately mapped blocks by `mallinfo2`, in a process of its own."""
    measured = subprocess.run([sys.executable, "-c", LARGE_BUFFERS], capture_output=True, text=True, check=True)
    if measured.stdout.strip() == "not glibc":
        pytest.skip("this C library has no mallinfo2")
    assert int(measured.stdout) >= 4_000_000


LARGE_BUFFERS = """
import ctypes
from shared.runtime.service import return_large_buffers

names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
Info = type("Info", (ctypes.Structure,), {"_fields_": [(name, ctypes.c_size_t) for name in names]})
info = getattr(ctypes.CDLL(None), "mallinfo2", None)
if info is None:
    raise SystemExit(print("not glibc"))
info.restype = Info


def taken(size):
    at = info().hblkhd
    buffer = bytearray(size)
    return info().hblkhd - at


bytearray(8_000_000)
taken(1_000_000)
return_large_buffers()
print(taken(4_000_000))
"""
