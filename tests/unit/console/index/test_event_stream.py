"""The event stream as a browser reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from services.console.index import event_stream
from services.console.index.broadcast import Broadcast
from services.console.index.event_stream import EventStream

Site = TestClient[web.Request, web.Application]


@asynccontextmanager
async def serving(broadcast: Broadcast) -> AsyncIterator[Site]:
    app = web.Application()
    app.add_routes(EventStream(broadcast).routes())
    async with TestClient(TestServer(app)) as site:
        yield site
        broadcast.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def next_event(page: ClientResponse) -> dict[str, str]:
    """The fields of the next event; a comment is a field without a name."""
    fields = dict[str, str]()
    while line := (await page.content.readline()).decode().rstrip("\n"):
        name, _, value = line.partition(": ")
        fields[name] = value
    return fields


async def test_a_page_receives_events_and_after_a_reconnect_those_it_missed() -> None:
    broadcast = Broadcast()
    async with serving(broadcast) as site:
        async with site.get("/events") as page:
            assert await next_event(page) == {"retry": "2000"}
            broadcast.send("contact", {"id": 1})
            event = await next_event(page)
            assert (event["event"], event["data"]) == ("contact", '{"id":1}')
        broadcast.send("run", {})
        async with site.get("/events", headers={"Last-Event-ID": event["id"]}) as page:
            await next_event(page)
            assert (await next_event(page))["event"] == "run"


async def test_a_stream_without_events_sends_keep_alives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_SECONDS", 0.01)
    async with serving(Broadcast()) as site, site.get("/events") as page:
        await next_event(page)
        assert await next_event(page) == {"": "still here"}


async def test_close_ends_every_stream() -> None:
    broadcast = Broadcast()
    async with serving(broadcast) as site, site.get("/events") as page:
        await next_event(page)
        broadcast.close()
        assert await page.content.read() == b""
        await until(lambda: broadcast.listeners == 0)


async def test_a_stream_ends_after_its_lifetime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MAX_STREAM_SECONDS", 0.05)
    async with serving(Broadcast()) as site, site.get("/events") as page:
        await next_event(page)
        assert await page.content.read() == b""


async def test_a_page_that_does_not_read_is_cut_off_and_others_receive_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "WRITE_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(event_stream, "COALESCE_SECONDS", 0)
    broadcast = Broadcast()
    async with serving(broadcast) as site, site.get("/events") as quick:
        _, writer = await asyncio.open_connection(site.host, site.port, limit=1)
        writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: broadcast.listeners == 2)
        await next_event(quick)
        while broadcast.listeners == 2:
            broadcast.send("contact", {"name": "x" * 20_000})
            assert (await next_event(quick))["event"] == "contact"
        writer.close()


async def test_a_stream_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MAX_OPEN_PAGES", 1)
    async with serving(Broadcast()) as site, site.get("/events"), site.get("/events") as late:
        assert late.status == 503
