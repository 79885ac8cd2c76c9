"""The receiver while the broker is away: every response is 200, and every such webhook is on the topic in the end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.conftest import Stack, Start
from tests.support.brokers import BROKERS, gone
from tests.support.sending import Sender, is_ready, port_of, published_in_the_end, start
from tests.support.waiting import eventually


async def test_a_broker_outage_loses_no_webhook(stack: Stack, leadstream: Start, tmp_path: Path) -> None:
    process = start(leadstream, tmp_path / "spool")
    async with ClientSession() as session:
        sender = Sender(session, port_of(process))
        await sender.send_all(range(100))
        stack.servers.stop_kafka()
        try:
            await sender.send_all(range(100, 400))
            assert await is_ready(session, process), "the spool takes what the broker does not"
        finally:
            stack.servers.start_kafka()
        await sender.send_all(range(400, 500))
    assert sender.statuses == [200] * 500
    await published_in_the_end(stack, sender.answered)
    process.wait_for("spool_drained")


async def test_the_next_process_publishes_what_a_killed_one_spooled(
    stack: Stack, leadstream: Start, tmp_path: Path
) -> None:
    process = start(leadstream, tmp_path / "spool")
    async with ClientSession() as session:
        sender = Sender(session, port_of(process))
        await sender.send_all(range(50))
        stack.servers.stop_kafka()
        try:
            sending = asyncio.create_task(sender.send_all(range(50, 250)))
            await eventually(lambda: asyncio.sleep(0, len(sender.answered)), lambda number: number >= 150)
            process.kill()
            await sending
        finally:
            stack.servers.start_kafka()
    assert len(sender.answered) >= 150
    start(leadstream, tmp_path / "spool")
    await published_in_the_end(stack, sender.answered)


@pytest.mark.parametrize("broker", ["gone", "down"])
async def test_a_receiver_that_starts_in_an_outage_loses_no_webhook(
    broker: str, stack: Stack, leadstream: Start, tmp_path: Path
) -> None:
    async with ClientSession() as session:
        with BROKERS[broker](stack.servers):
            process = start(leadstream, tmp_path / "spool")
            sender = Sender(session, port_of(process))
            assert await is_ready(session, process)
            await sender.send_all(range(100))
        await published_in_the_end(stack, sender.answered)
    assert sender.statuses == [200] * 100
    process.wait_for("spool_drained")


def test_a_receiver_ends_when_the_broker_that_comes_back_lacks_the_topic(
    stack: Stack, leadstream: Start, tmp_path: Path
) -> None:
    with gone(stack.servers):
        process = start(leadstream, tmp_path / "spool", LEADSTREAM_TOPIC_PREFIX="nowhere.")
        port_of(process)
    assert process.wait() == 3
    assert "run `leadstream setup`" in process.output


async def test_the_response_is_503_when_broker_and_spool_refuse(
    stack: Stack, leadstream: Start, tmp_path: Path
) -> None:
    process = start(leadstream, tmp_path / "spool", LEADSTREAM_SPOOL_MAX_BYTES="6000")
    async with ClientSession() as session:
        sender = Sender(session, port_of(process))
        stack.servers.stop_kafka()
        try:
            await sender.send_all(range(40))
            assert not await is_ready(session, process)
        finally:
            stack.servers.start_kafka()
    assert set(sender.statuses) == {200, 503}
    await published_in_the_end(stack, sender.answered)


async def test_a_second_receiver_on_a_spool_does_not_start(leadstream: Start, tmp_path: Path) -> None:
    port_of(start(leadstream, tmp_path / "spool"))
    second = start(leadstream, tmp_path / "spool")
    assert second.wait() == 3
    assert "another process uses the spool" in second.output
