"""How often somebody may try a password. Pure: the clock is an argument."""

from __future__ import annotations

from collections import OrderedDict, deque

TRIES, WINDOW_SECONDS = 5, 60.0
TRIES_OF_ALL = 100
REMEMBERED = 10_000


class Attempts:
    """Failures of the last minute, for each address and of all together."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque()

    def wait_seconds(self, address: str, now: float) -> float:
        """How long this address has to wait for its next try; 0 for not at all."""
        mine = self._of.get(address, deque())
        return max(_wait(mine, TRIES, now), _wait(self._all, TRIES_OF_ALL, now))

    def failed(self, address: str, now: float) -> None:
        mine = self._of.setdefault(address, deque())
        self._of.move_to_end(address)
        for failures in (mine, self._all):
            failures.append(now)
        if len(self._of) > REMEMBERED:
            self._of.popitem(last=False)

    def succeeded(self, address: str) -> None:
        self._of.pop(address, None)


def _wait(failures: deque[float], allowed: int, now: float) -> float:
    while failures and failures[0] <= now - WINDOW_SECONDS:
        failures.popleft()
    return failures[-allowed] + WINDOW_SECONDS - now if len(failures) >= allowed else 0.0
