"""How many pages are fetched at once: as many as set, one while the platform warns, none behind a fatal refusal."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from services.backfill.crawl.concurrency_gate import ConcurrencyGate
from shared.graph_api.errors import GraphError
from shared.graph_api.rate_governor import Governor
from shared.graph_api.usage import Usage
from tests.unit.backfill.fake_graph import Answer, serving
from tests.unit.backfill.staging import Stage, World


@dataclass
class PressureGovernor(Governor):
    """Admits every call and reports a fixed pressure."""

    pressure: float = 0.0
    spent: list[int] = field(default_factory=list)

    async def acquire(self) -> None:
        return None

    async def record_answer(self, usage: Usage, error: GraphError | None) -> None:
        self.spent.append(1)


@pytest.mark.parametrize(("pressure", "at_once"), [(0.0, 6), (0.9, 1)])
async def test_a_crawl_fetches_as_many_pages_at_once_as_are_allowed(pressure: float, at_once: int) -> None:
    world, inside, seen, full = World(conversations=40), 0, list[int](), asyncio.Event()

    async def respond(request: web.Request) -> Answer:
        nonlocal inside
        is_of_messages = request.path.endswith("/messages")
        inside += is_of_messages
        if is_of_messages:
            seen.append(inside)
            if inside == at_once:
                full.set()
            await full.wait()
            await asyncio.sleep(0.002)
        answer = await world.respond(request)
        inside -= is_of_messages
        return answer

    async with asyncio.timeout(30), serving(respond) as (_, client):
        client.governor = PressureGovernor(pressure)
        stage = Stage(world, client)
        await stage.read(parallelism=6)
    assert set(stage.mids) == world.all_ids
    assert max(seen[20:]) <= at_once <= max(seen)


async def test_calls_rise_to_the_maximum_once_the_pressure_is_gone() -> None:
    pressure, gate = 0.9, ConcurrencyGate(3, lambda: pressure)
    leave = [asyncio.Event() for _ in range(4)]

    async def stay(number: int) -> None:
        async with gate.entered():
            await leave[number].wait()

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(stay(number))
        await asyncio.sleep(0.01)
        assert gate.inside == 1
        pressure = 0.1
        leave[0].set()
        await asyncio.sleep(0.01)
        assert gate.inside == 3
        for event in leave:
            event.set()


async def test_a_cancelled_caller_leaves_room_for_the_next() -> None:
    gate = ConcurrencyGate(1, lambda: 0.0)

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


async def test_a_closed_gate_admits_no_waiting_caller() -> None:
    gate, entered = ConcurrencyGate(1, lambda: 0.0), list[int]()

    async def go_through(number: int) -> None:
        async with gate.entered():
            entered.append(number)
            gate.close()

    both = [asyncio.create_task(go_through(number)) for number in range(2)]
    await both[0]
    for _ in range(10):
        await asyncio.sleep(0)
    assert entered == [0]
    both[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await both[1]
