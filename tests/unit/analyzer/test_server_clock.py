"""The server's time between two questions to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from shared.store import server_clock
from shared.store.mongo import Database
from shared.store.server_clock import ServerClock

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


class World:
    """A server whose clock goes with the process's; an answer takes as long each way as the test says."""

    def __init__(self) -> None:
        self.at, self.asked, self.way = 1_000.0, 0, 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.at)

    async def server_time(self, _database: Database) -> datetime:
        self.asked += 1
        self.at += self.way
        now = self.now()
        self.at += self.way
        return now

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(server_clock, "server_time", world.server_time)
    return world


def clock(world: World) -> ServerClock:
    return ServerClock(cast(Database, None), monotonic=world.monotonic)


async def test_the_clock_asks_the_server_once_a_second(world: World) -> None:
    told = clock(world)
    assert (await told.read()).now == world.now()
    world.at += 0.9
    assert (await told.read()).now == world.now()
    assert world.asked == 1
    world.at += 0.2
    assert (await told.read()).now == world.now()
    assert world.asked == 2


@pytest.mark.parametrize("later", [0.0, 0.5])
async def test_the_clock_is_never_ahead_of_the_server_after_a_slow_answer(world: World, later: float) -> None:
    told, world.way = clock(world), 3.0
    await told.read()
    world.at += later
    seen = await told.read()
    assert world.now() - timedelta(seconds=world.way) == seen.now


async def test_a_lease_ends_in_the_process_before_it_ends_on_the_server(world: World) -> None:
    told, world.way = clock(world), 3.0
    await told.read()
    world.at += 0.5
    seen = await told.read()
    ends_there = seen.now + timedelta(seconds=60)
    world.at = seen.monotonic + 60
    assert world.now() <= ends_there
