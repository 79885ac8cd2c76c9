"""`/events`: what changes, as server-sent events, for as long as a page is open."""

from __future__ import annotations

import asyncio

from aiohttp import web

from services.console.index.broadcast import Broadcast

MAX_OPEN_PAGES = 1000
KEEP_ALIVE_SECONDS = 20.0
COALESCE_SECONDS = 0.25
"""After a write: what happens meanwhile goes together."""
WRITE_TIMEOUT_SECONDS = 30.0
"""For a page that does not read."""
MAX_STREAM_SECONDS = 1800.0
"""Then the browser comes again, and whether it may is looked at anew."""


class EventStream:
    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/events", self.events)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """`Last-Event-ID` is what the browser shows when it comes again."""
        if self._broadcast.listeners >= MAX_OPEN_PAGES:
            raise web.HTTPServiceUnavailable(text="Too many pages are open.")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        with self._broadcast.subscribe(request.headers.get("Last-Event-ID", "")) as position:
            await response.prepare(request)
            try:
                async with asyncio.timeout(MAX_STREAM_SECONDS):
                    await self._pass_on(position, response)
            except TimeoutError:
                pass
            except ConnectionError:
                if request.transport:
                    request.transport.abort()  # what it has not read would be waited for
        return response

    async def _pass_on(self, position: int, response: web.StreamResponse) -> None:
        await response.write(b"retry: 2000\n\n")
        while not self._broadcast.is_over:
            events = b": still here\n\n"
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await self._broadcast.wait_beyond(position)
                events, position = self._broadcast.events_after(position)
            except TimeoutError:
                pass
            await _write(response, events)
            await asyncio.sleep(COALESCE_SECONDS)


async def _write(response: web.StreamResponse, events: bytes) -> None:
    """ConnectionError when the page has gone, or does not read."""
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
            await response.write(events)
    except TimeoutError:
        raise ConnectionAbortedError from None
