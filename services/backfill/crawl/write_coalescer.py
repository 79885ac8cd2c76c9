"""Writes of many tasks in few commands: updates that arrive while a command is in flight share the next one.

A command costs far more than one more update in it, in this process too: a thread sends it and reads the response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from shared.runtime.group_queue import GroupQueue, finish
from shared.store.mongo import UpdateOne


class PendingWrite(NamedTuple):
    update: UpdateOne
    done: asyncio.Future[None]


class WriteCoalescer:
    """For idempotent upserts. Of two updates that wait for one document, either may be written last."""

    def __init__(self, write_all: Callable[[Sequence[UpdateOne]], Awaitable[bool]]) -> None:
        self._write_all = write_all
        self._queue = GroupQueue[PendingWrite](self._write_waiting)

    async def write(self, update: UpdateOne) -> None:
        """Return when `update` is written. UnstorableError, WriteFailedError or ConnectionFailure when it may not be.

        An update whose caller is cancelled before its command starts is not written: the caller has lost its run, say.
        """
        await self._queue.submit(PendingWrite(update, asyncio.get_running_loop().create_future()))

    async def _write_waiting(self) -> None:
        while self._queue.items:
            group = list(self._queue.items)
            self._queue.items.clear()
            await self._write(group)

    async def _write(self, group: list[PendingWrite]) -> None:
        try:
            while group := [each for each in group if not each.done.done()]:
                if await self._write_all([each.update for each in group]):
                    break  # else another writer has just inserted one of the documents: now it exists
        except Exception as error:  # noqa: BLE001 - each caller of `write` raises it
            finish(group, error)
        else:
            finish(group)
