"""`/events`: what changes, as server-sent events, for as long as a page is open."""

from __future__ import annotations

import asyncio

from aiohttp import web

from services.console.broadcast import END, Broadcast

MOST_PAGES = 1000
KEEP_ALIVE_SECONDS = 20.0
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
        with self._broadcast.listening(request.headers.get("Last-Event-ID", "")) as page:
            await response.prepare(request)
            await response.write(b"retry: 2000\n\n")
            try:
                async with asyncio.timeout(LIFETIME_SECONDS):
                    await _pass_on(page, response)
            except (TimeoutError, ConnectionError):
                pass
        return response


async def _pass_on(page: asyncio.Queue[bytes], response: web.StreamResponse) -> None:
    while True:
        try:
            async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                event = await page.get()
        except TimeoutError:
            event = b": still here\n\n"
        if event == END:
            return
        await response.write(event)
