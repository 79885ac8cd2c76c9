"""`/events`: changes as server-sent events, for as long as a page is open."""

from __future__ import annotations

import asyncio

from aiohttp import web

from services.console.index.broadcast import Broadcast

MAX_OPEN_PAGES = 1000
KEEP_ALIVE_SECONDS = 20.0
COALESCE_SECONDS = 0.25
"""The pause after a write; events in between are sent together."""
WRITE_TIMEOUT_SECONDS = 30.0
"""The longest a write waits for a page that does not read."""
MAX_STREAM_SECONDS = 1800.0
"""After this a stream ends; the browser reconnects, and its session is checked again."""


class EventStream:
    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/events", self.events)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Stream events, from `Last-Event-ID` on when the browser reconnects."""
        if self._broadcast.listeners >= MAX_OPEN_PAGES:
            raise web.HTTPServiceUnavailable(text="Too many pages are open.")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        with self._broadcast.subscribe(request.headers.get("Last-Event-ID", "")) as position:
            await response.prepare(request)
            try:
                async with asyncio.timeout(MAX_STREAM_SECONDS):
                    await self._send_events(position, response)
            except TimeoutError:
                pass
            except ConnectionError:
                if request.transport:
                    request.transport.abort()  # closing would wait until the page has read everything
        return response

    async def _send_events(self, position: int, response: web.StreamResponse) -> None:
        await response.write(b"retry: 2000\n\n")
        while not self._broadcast.is_closed:
            events = b": still here\n\n"
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await self._broadcast.wait_after(position)
                events, position = self._broadcast.events_after(position)
            except TimeoutError:
                pass
            await _write(response, events)
            await asyncio.sleep(COALESCE_SECONDS)


async def _write(response: web.StreamResponse, events: bytes) -> None:
    """Write to the page. ConnectionError when it is closed or does not read."""
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
            await response.write(events)
    except TimeoutError:
        raise ConnectionAbortedError from None
