"""Writes of many tasks by few commands: what comes while one is under way goes by the next, all at once.

A command costs far more than one more update in it, in this process as well: a thread sends it and reads its answer.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from shared.store.mongo import Collection, UpdateOne, write_all


class _Waiting(NamedTuple):
    update: UpdateOne
    written: asyncio.Future[None]


class Together:
    """For upserts that may be done twice. Of two that wait for one document either may be written last."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._waiting: list[_Waiting] = []
        self._working: asyncio.Task[None] | None = None

    async def write(self, update: UpdateOne) -> None:
        """Returns when it is written. UnstorableError, WriteFailedError or ConnectionFailure when it may not be.

        Whoever is cancelled before its command has begun wants it no more: it has lost its run, say.
        """
        waiting = _Waiting(update, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        await waiting.written

    async def _work(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                await self._write(group)
        finally:
            self._working = None

    async def _write(self, group: list[_Waiting]) -> None:
        error: Exception | None = None
        try:
            while group := [each for each in group if not each.written.done()]:
                if await write_all(self._collection, [each.update for each in group]):
                    break  # else another writer has inserted one of them meanwhile: now it is there
        except Exception as raised:  # noqa: BLE001 - each of those who wait is told, and raises it
            error = raised
        for each in group:
            if each.written.done():  # nobody waits any more
                continue
            if error is None:
                each.written.set_result(None)
            else:
                each.written.set_exception(error)
