"""A queue whose items are handled in groups, by one task, while their callers wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """An item whose caller waits for `done`."""

    @property
    def done(self) -> asyncio.Future[None]: ...


Item = TypeVar("Item", bound=Waiting)


class GroupQueue(Generic[Item]):
    """Runs `work` in a task while there are items: it takes groups from `items` and finishes each.

    Items that arrive while one group is handled are the next group. An item costs a future and no task.
    """

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self.items: deque[Item] = deque()
        self._work = work
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> None:
        """Return when the item is finished. Raises the error that it was finished with."""
        self.items.append(item)
        if self._worker is None:
            self._worker = asyncio.create_task(self._run())
        await item.done

    async def _run(self) -> None:
        try:
            await self._work()
        finally:
            self._worker = None


def finish(items: Iterable[Waiting], error: Exception | None = None) -> None:
    """Let the callers of `submit` return, or raise `error`. Items whose caller was cancelled are skipped."""
    for item in items:
        if item.done.done():
            continue
        if error is None:
            item.done.set_result(None)
        else:
            item.done.set_exception(error)
