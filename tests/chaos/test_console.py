"""The console while the broker is away."""

from __future__ import annotations

from tests.conftest import Stack, Start
from tests.integration.test_console import JOSE, MARIA, browsing, updated
from tests.support.brokers import gone
from tests.support.servers import Servers
from tests.support.waiting import eventually


async def test_lists_follow_the_topic_again_when_the_broker_is_back(
    leadstream: Start, stack: Stack, servers: Servers
) -> None:
    async with browsing(leadstream) as browser:
        await updated(stack, MARIA)
        await eventually(lambda: browser.json("/api/contacts"), lambda found: found["found"] == 1)
        with gone(servers):
            assert (await browser.json("/api/contacts"))["found"] == 1
        await updated(stack, JOSE)
        await eventually(lambda: browser.json("/api/contacts"), lambda found: found["found"] == 2)
