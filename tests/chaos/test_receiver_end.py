"""The receiver is stopped in the middle of its work, in every state of broker and spool."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.conftest import Stack, Start
from tests.support.brokers import BROKERS
from tests.support.sending import Sender, port_of, published_in_the_end, start
from tests.support.waiting import eventually

AMPLE, SCANT = "1000000", "6000"
"""The size of a spool that never becomes full here, and of one that does at once."""


async def is_at_work(sender: Sender, answered: int) -> None:
    """Return when this many webhooks have a response and others wait for theirs."""

    async def state() -> tuple[int, int]:
        return len(sender.statuses), len(sender.began)

    await eventually(state, lambda found: answered <= found[0] < found[1])


@pytest.mark.parametrize(
    ("broker", "spool_bytes"), [("up", AMPLE), ("down", AMPLE), ("down", SCANT), ("gone", AMPLE), ("gone", SCANT)]
)
async def test_sigterm_stops_the_receiver_in_time_and_loses_nothing_answered_200(
    stack: Stack, leadstream: Start, tmp_path: Path, broker: str, spool_bytes: str
) -> None:
    receiver = start(leadstream, tmp_path / "spool", LEADSTREAM_SPOOL_MAX_BYTES=spool_bytes)
    async with ClientSession() as session:
        sender = Sender(session, port_of(receiver))
        await sender.send_all(range(50))
        with BROKERS[broker](stack.servers):
            sending = asyncio.create_task(sender.send_all(range(50, 5000)))
            await is_at_work(sender, 150)
            assert await asyncio.to_thread(receiver.terminate) == 0, "status 1 is that of one that took too long"
            await sending
    assert (503 in sender.statuses) == (spool_bytes == SCANT)
    start(leadstream, tmp_path / "spool")
    assert await published_in_the_end(stack, sender.answered) <= sender.began


async def test_another_receiver_takes_over_from_a_killed_one(stack: Stack, leadstream: Start, tmp_path: Path) -> None:
    killed = start(leadstream, tmp_path / "spool")
    async with ClientSession() as session:
        sender = Sender(session, port_of(killed))
        with BROKERS["down"](stack.servers):
            sending = asyncio.create_task(sender.send_all(range(2000)))
            await is_at_work(sender, 100)
            killed.kill()
            await sending
        sender.turn_to(port_of(start(leadstream, tmp_path / "spool")))
        await sender.send_all(range(2000, 2100))
    assert sender.statuses[-100:] == [200] * 100
    assert await published_in_the_end(stack, sender.answered) <= sender.began
