"""`/events`: what changes, as server-sent events, for as long as a page is open."""

from __future__ import annotations

import asyncio

from aiohttp import web

from services.console.index.broadcast import Broadcast

MOST_PAGES = 1000
KEEP_ALIVE_SECONDS = 20.0
BREATH_SECONDS = 0.25
"""After a write: what happens meanwhile goes together."""
PATIENCE_SECONDS = 30.0
"""For a page that does not read."""
LIFETIME_SECONDS = 1800.0
"""Then the browser comes again, and whether it may is looked at anew."""


class Stream:
    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/events", self.events)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """`Last-Event-ID` is what the browser shows when it comes again."""
        if self._broadcast.listeners >= MOST_PAGES:
            raise web.HTTPServiceUnavailable(text="Too many pages are open.")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        with self._broadcast.listening(request.headers.get("Last-Event-ID", "")) as place:
            await response.prepare(request)
            try:
                async with asyncio.timeout(LIFETIME_SECONDS):
                    await self._pass_on(place, response)
            except TimeoutError:
                pass
            except ConnectionError:
                if request.transport:
                    request.transport.abort()  # what it has not read would be waited for
        return response

    async def _pass_on(self, place: int, response: web.StreamResponse) -> None:
        await response.write(b"retry: 2000\n\n")
        while not self._broadcast.is_over:
            told = b": still here\n\n"
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await self._broadcast.news(place)
                told, place = self._broadcast.since(place)
            except TimeoutError:
                pass
            await _write(response, told)
            await asyncio.sleep(BREATH_SECONDS)


async def _write(response: web.StreamResponse, told: bytes) -> None:
    """ConnectionError when the page has gone, or does not read."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await response.write(told)
    except TimeoutError:
        raise ConnectionAbortedError from None
