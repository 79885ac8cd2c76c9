"""How many pages are fetched at once: fewer when the platform slows or warns, more again little by little."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from services.backfill.crawl.adaptive_concurrency import ConcurrencyGate, Parallelism
from shared.graph_api.errors import GraphError
from shared.graph_api.rate_governor import Governor
from shared.graph_api.usage import Usage
from tests.unit.backfill.fake_graph import Answer, serving
from tests.unit.backfill.staging import Stage, World


def told(parallelism: Parallelism, times: int, latency_seconds: float = 0.2, pressure: float = 0.1) -> float:
    for _ in range(times):
        parallelism.heard(latency_seconds, pressure)
    return parallelism.allowed


def test_while_all_is_well_as_many_as_were_set_are_allowed() -> None:
    assert told(Parallelism(8), 1000) == 8


def test_a_warning_halves_them_once_for_all_the_calls_that_were_under_way() -> None:
    parallelism = Parallelism(8)
    assert told(parallelism, 9, pressure=0.75) == 4
    assert told(parallelism, 5, pressure=0.75) == 2


def test_one_is_always_allowed() -> None:
    assert told(Parallelism(8), 1000, pressure=1.0) == 1
    assert told(Parallelism(1), 1000, pressure=1.0) == 1


def test_they_come_back_one_at_a_time_for_as_many_good_answers_as_there_are_calls() -> None:
    parallelism = Parallelism(8)
    told(parallelism, 100, pressure=0.9)
    assert parallelism.allowed == 1
    assert told(parallelism, 2) == 2, "the first was to a call that had begun before"
    assert told(parallelism, 1) == 2.5
    assert told(parallelism, 1) == 2.9
    assert told(parallelism, 40) == 8


def test_an_answer_that_takes_several_times_the_usual_halves_them() -> None:
    parallelism = Parallelism(8)
    told(parallelism, 20)
    assert told(parallelism, 1, latency_seconds=2.0) == 4


@pytest.mark.parametrize("usual_seconds", [0.001, 1.0])
def test_an_answer_that_is_slow_but_not_by_much_changes_nothing(usual_seconds: float) -> None:
    parallelism = Parallelism(8)
    told(parallelism, 20, latency_seconds=usual_seconds)
    assert told(parallelism, 20, latency_seconds=min(1.0, 900 * usual_seconds)) == 8


def test_a_platform_that_is_slow_from_the_beginning_is_not_slowing() -> None:
    assert told(Parallelism(8), 100, latency_seconds=9.0) == 8


def test_a_platform_that_stays_slow_becomes_the_usual() -> None:
    parallelism = Parallelism(8)
    told(parallelism, 100)
    assert told(parallelism, 1, latency_seconds=3.0) == 4
    assert told(parallelism, 200, latency_seconds=3.0) == 8


@dataclass
class Warned(Governor):
    """Lets every call through, and says how much of the budget is used."""

    pressure: float = 0.0
    spent: list[int] = field(default_factory=list)

    async def acquire(self) -> None:
        return None

    async def record_answer(self, usage: Usage, error: GraphError | None) -> None:
        self.spent.append(1)


@pytest.mark.parametrize(("pressure", "at_once"), [(0.0, 6), (0.9, 1)])
async def test_a_crawl_fetches_as_many_pages_at_once_as_are_allowed(pressure: float, at_once: int) -> None:
    world, inside, seen = World(conversations=40), 0, list[int]()

    async def respond(request: web.Request) -> Answer:
        nonlocal inside
        is_of_messages = request.path.endswith("/messages")
        inside += is_of_messages
        if is_of_messages:
            seen.append(inside)
            await asyncio.sleep(0.002)
        answer = await world.respond(request)
        inside -= is_of_messages
        return answer

    async with serving(respond) as (_, client):
        client.governor = Warned(pressure)
        stage = Stage(world, client)
        await stage.read(parallelism=6)
    assert set(stage.mids) == world.all_ids
    assert max(seen[20:]) == at_once


async def test_who_is_cancelled_inside_or_before_the_gate_leaves_room_for_the_next() -> None:
    gate = ConcurrencyGate(Parallelism(1))

    async def stay() -> None:
        async with gate.entered():
            await asyncio.Event().wait()

    both = [asyncio.create_task(stay()) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in both:
        task.cancel()
    await asyncio.gather(*both, return_exceptions=True)
    async with asyncio.timeout(5), gate.entered():
        assert gate.inside == 1


async def test_once_the_gate_is_shut_nobody_who_waits_before_it_is_let_in() -> None:
    gate, entered = ConcurrencyGate(Parallelism(1)), list[int]()

    async def go_through(number: int) -> None:
        async with gate.entered():
            entered.append(number)
            gate.shut()

    both = [asyncio.create_task(go_through(number)) for number in range(2)]
    await both[0]
    for _ in range(10):
        await asyncio.sleep(0)
    assert entered == [0]
    both[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await both[1]
