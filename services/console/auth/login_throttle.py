"""How often somebody may try a password. Pure: the clock is an argument."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque

MAX_FAILURES, WINDOW_SECONDS = 5, 60.0
MAX_FAILURES_OF_ALL, MAX_FAILURES_UNDER_ATTACK = 100, 1
"""After so many failures of all together, each address has fewer. None has none: who guesses from many addresses must
not be able to shut out who knows the password."""
MAX_ADDRESSES = 10_000


class LoginThrottle:
    """Failures of the last minute, for each address and of all together."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque()

    def wait_seconds(self, address: str, now: float) -> float:
        """How long this address has to wait for its next try; 0 for not at all."""
        is_attack = _wait(self._all, MAX_FAILURES_OF_ALL, now) > 0
        return _wait(
            self._of.get(_who(address), deque()), MAX_FAILURES_UNDER_ATTACK if is_attack else MAX_FAILURES, now
        )

    def failed(self, address: str, now: float) -> None:
        who = _who(address)
        mine = self._of.setdefault(who, deque())
        self._of.move_to_end(who)
        for failures in (mine, self._all):
            failures.append(now)
        if len(self._of) > MAX_ADDRESSES:
            self._of.popitem(last=False)

    def succeeded(self, address: str) -> None:
        self._of.pop(_who(address), None)


def _who(address: str) -> str:
    """Whoever has one address of IPv6 has all 2^64 of its network."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if parsed.version == 4 or parsed.ipv4_mapped:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _wait(failures: deque[float], allowed: int, now: float) -> float:
    while failures and failures[0] <= now - WINDOW_SECONDS:
        failures.popleft()
    return failures[-allowed] + WINDOW_SECONDS - now if len(failures) >= allowed else 0.0
