"""A pool without workers, for tests of the intake alone."""

from __future__ import annotations

from collections.abc import Iterable


class IdlePool:
    def notify_written(self, keys: Iterable[str]) -> None:
        pass

    async def until_idle(self) -> None:
        pass
