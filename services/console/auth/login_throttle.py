"""Limits how often a password may be tried. Pure: the clock is an argument."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque

WINDOW_SECONDS = 60.0
MAX_FAILURES = 5
"""Failures that one address may have within the window."""
MAX_FAILURES_OF_ALL, MAX_FAILURES_UNDER_ATTACK = 100, 1
"""After so many failures of all addresses together, each address may fail only once. It still may: somebody who guesses
from many addresses must not lock out a person who knows the password."""
MAX_ADDRESSES = 10_000


class LoginThrottle:
    """Counts the failures of the last minute, by address and in total."""

    def __init__(self) -> None:
        self._by_client: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque()

    def wait_seconds(self, address: str, now: float) -> float:
        """Return how long this address has to wait before its next attempt; 0 for not at all."""
        is_attack = _wait_seconds(self._all, MAX_FAILURES_OF_ALL, now) > 0
        allowed = MAX_FAILURES_UNDER_ATTACK if is_attack else MAX_FAILURES
        return _wait_seconds(self._by_client.get(_client(address), deque()), allowed, now)

    def failed(self, address: str, now: float) -> None:
        client = _client(address)
        failures = self._by_client.setdefault(client, deque())
        self._by_client.move_to_end(client)
        failures.append(now)
        self._all.append(now)
        if len(self._by_client) > MAX_ADDRESSES:
            self._by_client.popitem(last=False)

    def succeeded(self, address: str) -> None:
        self._by_client.pop(_client(address), None)


def _client(address: str) -> str:
    """Return an IPv4 address itself, and an IPv6 address's /64 network, all of which one client can use."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if parsed.version == 4 or parsed.ipv4_mapped:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _wait_seconds(failures: deque[float], allowed: int, now: float) -> float:
    while failures and failures[0] <= now - WINDOW_SECONDS:
        failures.popleft()
    return failures[-allowed] + WINDOW_SECONDS - now if len(failures) >= allowed else 0.0
