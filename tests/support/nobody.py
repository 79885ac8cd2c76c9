"""For an intake that writes what nobody works on."""

from __future__ import annotations

from collections.abc import Iterable


class Nobody:
    def notify_written(self, keys: Iterable[str]) -> None:
        pass

    async def until_idle(self) -> None:
        pass
