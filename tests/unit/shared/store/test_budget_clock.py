"""The server's time as a process estimates it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shared.store.mongo import Database
from shared.store.server_clock import BUDGET_MAX_AGE_SECONDS, ServerClock

BEGAN = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass
class Server:
    """A server whose clock is the test's; a request and its answer each take `way` seconds."""

    seconds: float = 0.0
    way: float = 0.0
    asked: int = 0
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.client = SimpleNamespace(admin=self)

    async def command(self, _name: str) -> dict[str, datetime]:
        self.asked += 1
        self.seconds += self.way
        answer = self.time
        self.seconds += self.way
        return {"localTime": answer}

    @property
    def time(self) -> datetime:
        return BEGAN + timedelta(seconds=self.seconds)


def clock_of(server: Server, starts_at: float = 0.0) -> ServerClock:
    """Return the clock of a process whose own clock starts at another time."""
    return ServerClock(cast(Database, server), BUDGET_MAX_AGE_SECONDS, lambda: starts_at + server.seconds)


@pytest.mark.parametrize("way", [0.0, 0.003, 2.0])
async def test_the_clock_is_never_ahead_of_the_server_and_at_most_the_return_time_behind(way: float) -> None:
    server = Server(way=way)
    clock = clock_of(server)
    await clock.synchronise()
    behind = server.time.timestamp() - clock.now()
    assert -1e-6 <= behind <= way + 1e-6


async def test_processes_with_different_clocks_agree() -> None:
    server = Server()
    one, two = clock_of(server, 5.0), clock_of(server, 1e6)
    await one.synchronise()
    server.seconds += 7
    await two.synchronise()
    assert one.now() == pytest.approx(two.now())
    assert one.now() == pytest.approx(server.time.timestamp())


async def test_the_servers_time_is_requested_again_only_after_a_while() -> None:
    server = Server()
    clock = clock_of(server)
    for _ in range(100):
        await clock.synchronise()
    assert server.asked == 1
    server.seconds += BUDGET_MAX_AGE_SECONDS
    await clock.synchronise()
    assert server.asked == 2
