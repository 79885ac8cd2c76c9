"""Several conversations at once, each under its own lease."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn, cast

import pytest

from services.analyzer.conversation import Conversation
from services.analyzer.pool import Pool
from services.analyzer.queue import Claim, LeaseLostError, Queue
from shared.ids import Platform
from shared.metrics import AnalyzerMetrics
from shared.mongo import ConnectionFailure


def claim(name: str) -> Claim:
    return Claim(Conversation(name, Platform.MESSENGER, "371", name), 1, 1, float("inf"))


class FakeQueue:
    """Hands out `names`; a name in `lost` loses its lease when it is first renewed."""

    def __init__(self, *names: str, lost: str = "") -> None:
        self.waiting = [claim(name) for name in names]
        self.lost = lost
        self.finished: list[str] = []
        self.stop = asyncio.Event()
        self.left = len(names)

    async def claim(self, limit: int) -> list[Claim]:
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken

    async def keep(self, held: Claim) -> NoReturn:
        if held.contact_id == self.lost:
            self.leave()
            raise LeaseLostError(held.contact_id)
        await asyncio.Event().wait()
        raise AssertionError

    async def finish(self, held: Claim) -> None:
        self.finished.append(held.contact_id)
        self.leave()

    def leave(self) -> None:
        self.left -= 1
        if not self.left:
            self.stop.set()


async def run(queue: FakeQueue, work: Callable[[Claim], Awaitable[None]], parallelism: int = 2) -> None:
    pool = Pool(cast("Queue", queue), work, parallelism, asyncio.Event(), AnalyzerMetrics())
    async with asyncio.timeout(10):
        await pool.run(queue.stop)


async def test_a_slow_conversation_holds_up_only_its_own() -> None:
    queue = FakeQueue("slow", "a", "b", "c")

    async def work(held: Claim) -> None:
        while held.contact_id == "slow" and len(queue.finished) < 3:
            await asyncio.sleep(0)

    await run(queue, work)
    assert queue.finished == ["a", "b", "c", "slow"]


async def test_no_more_are_in_work_than_allowed() -> None:
    queue, now, most = FakeQueue(*"abcdefgh"), 0, 0

    async def work(_held: Claim) -> None:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.001)
        now -= 1

    await run(queue, work, parallelism=3)
    assert most == 3
    assert sorted(queue.finished) == list("abcdefgh")


async def test_work_ends_with_its_lease() -> None:
    queue, cancelled = FakeQueue("a", "b", lost="a"), []

    async def work(held: Claim) -> None:
        if held.contact_id == "a":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(held.contact_id)
                raise

    await run(queue, work)
    assert (queue.finished, cancelled) == (["b"], ["a"])


async def test_a_server_that_is_away_ends_an_attempt_and_not_the_pool() -> None:
    queue = FakeQueue("a", "b")

    async def work(held: Claim) -> None:
        if held.contact_id == "a":
            queue.leave()
            raise ConnectionFailure("away")

    await run(queue, work)
    assert queue.finished == ["b"]


async def test_what_nobody_foresaw_ends_the_process() -> None:
    async def work(_held: Claim) -> None:
        raise KeyError("bug")

    with pytest.raises(ExceptionGroup) as raised:
        await run(FakeQueue("a"), work)
    assert raised.group_contains(KeyError)
