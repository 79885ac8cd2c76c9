"""Reads request bodies of clients that may send too much, too slowly, or never finish."""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader, web

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Bodies of 300 KB and more are real (docs/facebook.md). Meta retries a refused one, so the limit is far above them."""
MAX_HELD_BYTES = 64 * MAX_BODY_BYTES
"""The memory that all unfinished bodies may use together."""


class BodyError(Exception):
    """The body was not read. `status` is 400 for broken, 408 for too slow, 413 for too large, 503 for too many."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class BodyReader:
    """Reads bodies as they are on the wire: a compressed body stays compressed."""

    def __init__(self, seconds: float, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        self._seconds = seconds
        self._max_held_bytes = max_held_bytes
        self._timeouts: set[asyncio.Timeout] = set()
        self._held_bytes = 0

    async def read(self, request: web.BaseRequest) -> bytes:
        """Return the whole body. BodyError when it is too large, too slow or broken."""
        content = request.content
        if not content.is_eof():
            return await self._read_rest(request)
        body = content.read_nowait()
        if len(body) > MAX_BODY_BYTES:
            raise BodyError(413)
        return body

    def shorten_timeouts(self, seconds: float) -> None:
        """Give unfinished bodies at most `seconds` from now, because the process is about to end."""
        until = asyncio.get_running_loop().time() + seconds
        for timeout in self._timeouts:
            if timeout.expired():  # in this turn of the event loop; it cannot be rescheduled
                continue
            timeout.reschedule(min(until, timeout.when() or until))

    async def _read_rest(self, request: web.BaseRequest) -> bytes:
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise BodyError(413)
        if request.transport is None:
            raise BodyError(400)
        if request.headers.get("Expect", "").lower() == "100-continue":
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds) as timeout:
                self._timeouts.add(timeout)
                await self._collect(request.content, body)
        except TimeoutError:
            raise BodyError(408) from None
        except (ConnectionError, web.RequestPayloadError):
            raise BodyError(400) from None
        finally:
            self._timeouts.discard(timeout)
            self._held_bytes -= len(body)
        return bytes(body)

    async def _collect(self, content: StreamReader, body: bytearray) -> None:
        while chunk := await content.readany():
            body.extend(chunk)
            self._held_bytes += len(chunk)
            if len(body) > MAX_BODY_BYTES:
                raise BodyError(413)
            if self._held_bytes > self._max_held_bytes:
                raise BodyError(503)
