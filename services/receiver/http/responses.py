"""The receiver's responses: constant plain text, encoded once and counted by status.

A response quotes nothing of its request, and its headers keep browsers from reading it as anything but text.
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
    """Makes responses that are counted in `counter` by status."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def constant(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> ConstantResponse:
        return ConstantResponse(status, text, self._counter.labels(str(status)), headers or {})

    def text(self, status: int, text: str) -> web.Response:
        """Return a response with a text that is not known beforehand."""
        self._counter.labels(str(status)).inc()
        return web.Response(status=status, body=text.encode(errors="replace"), headers=HEADERS)


class ConstantResponse:
    """Returns the same response to every request that it is called with."""

    def __init__(self, status: int, text: str, count: Counter, headers: Mapping[str, str]) -> None:
        self._status = status
        self._body = text.encode()
        self._count = count
        self._headers = CIMultiDict({**HEADERS, **headers})
        self._encoded = _EncodedResponse(status, self._headers, self._body)

    def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the response. It closes the connection when a part of the request's body was not read."""
        if not request.content.is_eof():
            return self.closing()
        self._count.inc()
        if request.keep_alive and request.version == HttpVersion11 and request.method != "HEAD":
            return self._encoded
        return web.Response(status=self._status, body=self._body, headers=self._headers)

    def closing(self) -> web.Response:
        """Return the response with `Connection: close`."""
        self._count.inc()
        response = web.Response(status=self._status, body=self._body, headers=self._headers)
        response.force_close()
        return response


class _EncodedResponse(web.StreamResponse):
    """A response as bytes on the wire, for connections that stay open: one object for all requests.

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
            raise ConnectionResetError("the client closed the connection")
        transport.write(self._bytes)
        if request.protocol.writing_paused:
            await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: `prepare` has written everything."""
