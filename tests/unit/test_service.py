"""How works end together."""

from __future__ import annotations

import asyncio

import pytest

from shared.service import run_until


async def test_works_that_end_by_themselves_are_waited_for() -> None:
    stop, ended = asyncio.Event(), []

    async def work(name: str) -> None:
        await stop.wait()
        await asyncio.sleep(0)
        ended.append(name)

    asyncio.get_running_loop().call_soon(stop.set)
    assert await run_until(stop, 60, work("a"), work("b"))
    assert ended == ["a", "b"]


async def test_a_work_that_does_not_end_is_cancelled() -> None:
    stop, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    stop.set()
    assert not await run_until(stop, 0, work())
    assert cancelled.is_set()


async def test_a_failure_of_one_ends_the_others_and_is_raised() -> None:
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
