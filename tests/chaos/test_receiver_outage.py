"""A long outage under load: every response is 200, and every event is on the topic in the end."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout

from tests.conftest import Stack, Start
from tests.support.sending import Sender, is_ready, port_of, published, published_in_the_end, start
from tests.support.waiting import eventually

OUTAGE_SECONDS = float(os.environ.get("LEADSTREAM_TEST_OUTAGE_SECONDS", "120"))
A_SECOND = 50
"""Webhooks a second before, during and after the outage."""
FACEBOOK_TIMEOUT = ClientTimeout(5)
"""Facebook counts a later response as a failure (docs/facebook.md)."""


async def load(sender: Sender, over: asyncio.Event) -> None:
    """Send at a constant rate until `over`, independently of response times, then wait for the last responses."""
    async with asyncio.TaskGroup() as webhooks:
        for number in itertools.count():
            if over.is_set():
                return
            webhooks.create_task(sender.send(number))
            await asyncio.sleep(1 / A_SECOND)


async def test_every_response_in_a_long_outage_under_load_is_200_and_nothing_is_lost(
    stack: Stack, leadstream: Start, tmp_path: Path
) -> None:
    receiver = start(leadstream, tmp_path / "spool")
    over = asyncio.Event()
    async with ClientSession(timeout=FACEBOOK_TIMEOUT) as session:
        sender = Sender(session, port_of(receiver))
        async with asyncio.TaskGroup() as work:
            loading = work.create_task(load(sender, over))
            await eventually(lambda: published(stack), lambda found: found)
            await asyncio.to_thread(stack.servers.stop_kafka)
            try:
                await asyncio.wait({loading}, timeout=OUTAGE_SECONDS)
                assert await is_ready(session, receiver)
            finally:
                await asyncio.to_thread(stack.servers.start_kafka)
            await asyncio.to_thread(receiver.wait_for, "spool_drained", 120)
            over.set()
    assert set(sender.statuses) == {200}
    assert len(sender.statuses) > OUTAGE_SECONDS * A_SECOND / 2
    assert await published_in_the_end(stack, sender.answered) <= sender.began
