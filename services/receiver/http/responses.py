"""What the receiver says: constant plain text, made once and counted by its status.

An answer quotes nothing of what was asked, and no browser takes it for anything but text.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11
from multidict import CIMultiDict
from prometheus_client import Counter

HEADERS = CIMultiDict(
    {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff", "Server": "leadstream"}
)


class Responses:
    """Makes answers that are counted in `counter`, by status."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def constant(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> ConstantResponse:
        return ConstantResponse(status, text, self._counter.labels(str(status)), headers or {})

    def text(self, status: int, text: str) -> web.Response:
        """For what is not known beforehand."""
        return self.counted(web.Response(status=status, body=text.encode(errors="replace"), headers=HEADERS))

    def counted(self, response: web.Response) -> web.Response:
        """For what was made elsewhere."""
        self._counter.labels(str(response.status)).inc()
        return response


class ConstantResponse:
    """Gives the same answer to every request that it is called with."""

    def __init__(self, status: int, text: str, count: Counter, headers: Mapping[str, str]) -> None:
        self._status = status
        self._body = text.encode()
        self._count = count
        self._headers = CIMultiDict({**HEADERS, **headers})
        self._written = _EncodedResponse(status, self._headers, self._body)

    def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Where a part of the body has not been read, the connection is closed behind the answer."""
        if not request.content.is_eof():
            return self.closing()
        self._count.inc()
        if request.keep_alive and request.version == HttpVersion11 and request.method != "HEAD":
            return self._written
        return web.Response(status=self._status, body=self._body, headers=self._headers)

    def closing(self) -> web.Response:
        """For a connection that is closed behind it."""
        self._count.inc()
        response = web.Response(status=self._status, body=self._body, headers=self._headers)
        response.force_close()
        return response


class _EncodedResponse(web.StreamResponse):
    """An answer as the bytes on the wire, for a connection that stays open; one object for all requests.

    Making and serialising a response for each takes 10 µs of the 25 that aiohttp needs for a small request.
    """

    def __init__(self, status: int, headers: CIMultiDict[str], body: bytes) -> None:
        super().__init__(status=status)
        self.content_length = len(body)
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {headers[name]}" for name in headers)]
        self._head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "Date: "]).encode()
        self._tail = b"\r\n\r\n" + body
        self._second = 0
        self._bytes = b""

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        now = int(time.time())
        if now != self._second:
            self._bytes = self._head + formatdate(now, usegmt=True).encode() + self._tail
            self._second = now
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("nobody waits for the answer")
        transport.write(self._bytes)
        if request.protocol.writing_paused:
            await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """All was written by `prepare`."""
