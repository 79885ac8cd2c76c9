"""Work that is cheaper for many at once: what arrives while a group is being worked on is the next group."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")

TURNS = 4
"""Of the event loop, before a group is closed: sockets are read, requests begun, their bodies taken, and once more.
Groups become as large as the load, for nothing where there is none."""


class Grouping(Generic[Item]):
    """One group at a time, in the order in which items came: up to `most` by their `size`, and one in any case."""

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[None]],
        most: int = 1_000,
        size: Callable[[Item], int] = lambda _item: 1,
    ) -> None:
        self._work = work
        self._most = most
        self._size = size
        self._waiting: deque[tuple[Item, asyncio.Future[None]]] = deque()
        self._working: asyncio.Task[None] | None = None

    async def do(self, item: Item) -> None:
        """Returns when `work` has for the group of `item`, or raises what that raised."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._working is None:
            self._working = asyncio.create_task(self._do_groups())
        await done

    async def _do_groups(self) -> None:
        try:
            while self._waiting:
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                await self._do_group(self._next_group())
        finally:
            self._working = None

    def _next_group(self) -> list[tuple[Item, asyncio.Future[None]]]:
        group, size = [], 0
        while self._waiting and size < self._most:
            group.append(self._waiting.popleft())
            size += self._size(group[-1][0])
        return group

    async def _do_group(self, group: Sequence[tuple[Item, asyncio.Future[None]]]) -> None:
        error: Exception | None = None
        try:
            await self._work([item for item, _ in group])
        except Exception as raised:  # noqa: BLE001 - each of those who wait is told, and raises it
            error = raised
        for _, done in group:
            if done.done():
                continue  # whoever waited for it does no longer
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
