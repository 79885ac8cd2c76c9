"""Reading a body from one who may send too much of it, too slowly, or never the end."""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader, web

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Bodies of 300 KB and more are real; Meta retries a refused one for ever, so the limit lies far above them."""
MAX_HELD_BYTES = 64 * MAX_BODY_BYTES
"""What unfinished bodies may take in memory together."""


class BodyError(Exception):
    """The body was not read. `status` is the answer: 400 broken, 408 too slow, 413 too large, 503 too many at once."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class BodyReader:
    """Reads bodies as they came on the wire: what is compressed is left so."""

    def __init__(self, seconds: float, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        self._seconds = seconds
        self._max_held_bytes = max_held_bytes
        self._waiting: set[asyncio.Timeout] = set()
        self._held = 0

    async def read(self, request: web.BaseRequest) -> bytes:
        content = request.content
        if not content.is_eof():
            return await self._read_on(request)
        body = content.read_nowait()
        if len(body) > MAX_BODY_BYTES:
            raise BodyError(413)
        return body

    def shorten_timeouts(self, seconds: float) -> None:
        """Whoever has not sent its body whole by then is told 408: the process is about to end."""
        until = asyncio.get_running_loop().time() + seconds
        for timeout in self._waiting:
            if timeout.expired():  # in this very turn of the event loop: it is about to be told
                continue
            timeout.reschedule(min(until, timeout.when() or until))

    async def _read_on(self, request: web.BaseRequest) -> bytes:
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise BodyError(413)
        if request.transport is None:
            raise BodyError(400)
        if request.headers.get("Expect", "").lower() == "100-continue":
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds) as timeout:
                self._waiting.add(timeout)
                await self._collect(request.content, body)
        except TimeoutError:
            raise BodyError(408) from None
        except (ConnectionError, web.RequestPayloadError):
            raise BodyError(400) from None
        finally:
            self._waiting.discard(timeout)
            self._held -= len(body)
        return bytes(body)

    async def _collect(self, content: StreamReader, body: bytearray) -> None:
        while chunk := await content.readany():
            body.extend(chunk)
            self._held += len(chunk)
            if len(body) > MAX_BODY_BYTES:
                raise BodyError(413)
            if self._held > self._max_held_bytes:
                raise BodyError(503)
