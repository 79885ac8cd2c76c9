"""Load at a fixed rate that does not depend on the responses, as from a sender that does not wait for us.

The existing tools do not do this. wrk has no fixed rate. hey and h2load (`--rps`) hold a request back while its
connection waits for a response and measure from when it is sent, so a pause of the server counts once instead of for
all requests that were due meanwhile (coordinated omission); neither sends a different body with each request. Here the
latency of a request starts when it is due. The event loop's timers resolve 1 ms, which is in every figure.

It uses a raw protocol on uvloop in the bench's own process: 15,000 requests a second take a quarter of a core.
"""

from __future__ import annotations

import asyncio
import gc
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast

import uvloop

from tests.bench.envelopes import Requests
from tests.bench.judging import percentile
from tests.bench.wrk import CONNECTIONS, BenchError

LAST_ANSWERS_SECONDS = 30
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds from when each request was due to the end of its response. `failed` counts statuses other than 200.

    `answered_at` is the end of the response by the number of the request, on the clock of `time.perf_counter`.
    """

    milliseconds: list[float]
    failed: int
    answered_at: dict[int, float]

    def at(self, percent: float) -> float:
        return percentile(self.milliseconds, percent)


def load_at(port: int, requests: Requests, rate: float, seconds: float) -> Latencies:
    """Send `rate` requests a second from a separate loop. BenchError for a missing response or a broken connection."""
    gc.collect()
    gc.disable()  # a pause of this process must not count as the receiver's
    try:
        return uvloop.run(send_at(port, requests, rate, round(rate * seconds)))
    finally:
        gc.enable()


async def send_at(port: int, requests: Requests, rate: float, total: int, *, start: int = 0) -> Latencies:
    """Send from request number `start` on."""
    sender = Sender(enumerate(islice(_read(requests), start, None), start), total)
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Connection(sender), "127.0.0.1", port)
    started, due = time.perf_counter(), 0
    while due < total:
        until = min(total, int((time.perf_counter() - started) * rate) + 1)
        for number in range(due, until):
            sender.send(started + number / rate)
        due = until
        await asyncio.sleep(0.001)
    try:
        async with asyncio.timeout(LAST_ANSWERS_SECONDS):
            await sender.done
    except TimeoutError:
        raise BenchError(f"{total - len(sender.milliseconds)} requests were not answered") from None
    sender.close()
    return Latencies(sender.milliseconds, sender.failed, sender.answered_at)


class Sender:
    """Hands requests to idle connections; without one, requests wait in the order in which they are due."""

    def __init__(self, requests: Iterator[tuple[int, bytes]], total: int) -> None:
        self._requests = requests
        self._total = total
        self._idle: deque[Connection] = deque()
        self._late: deque[float] = deque()
        self._closing = False
        self.milliseconds: list[float] = []
        self.failed = 0
        self.answered_at: dict[int, float] = {}
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, due_at: float) -> None:
        if self._idle:
            self._idle.popleft().send(*next(self._requests), due_at)
        else:
            self._late.append(due_at)

    def add(self, connection: Connection) -> None:
        """Add an idle connection: a new one, or one that has its response."""
        if self._late:
            connection.send(*next(self._requests), self._late.popleft())
        else:
            self._idle.append(connection)

    def answered(self, connection: Connection, number: int, due_at: float, *, is_ok: bool) -> None:
        self.answered_at[number] = now = time.perf_counter()
        self.milliseconds.append((now - due_at) * 1000)
        self.failed += not is_ok
        self.add(connection)
        if len(self.milliseconds) == self._total:
            self.done.set_result(None)

    def lost(self) -> None:
        if not self._closing and not self.done.done():
            self.done.set_exception(BenchError("the server closed a connection"))

    def close(self) -> None:
        self._closing = True
        for connection in self._idle:
            connection.close()


class Connection(asyncio.Protocol):
    """A kept-alive connection that sends one request at a time."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._received = b""
        self._number, self._due_at = 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._sender.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sender.lost()

    def send(self, number: int, request: bytes, due_at: float) -> None:
        self._number, self._due_at = number, due_at
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if is_whole(self._received):
            is_ok = self._received.startswith(b"HTTP/1.1 200 ")
            self._received = b""
            self._sender.answered(self, self._number, self._due_at, is_ok=is_ok)

    def close(self) -> None:
        self._transport.close()


def is_whole(received: bytes) -> bool:
    """Whether the response has the whole body that its `Content-Length` announces."""
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    length = _LENGTH.search(head)
    return len(body) >= (int(length[1]) if length else 0)


def _read(requests: Requests) -> Iterator[bytes]:
    while True:
        with requests.path.open("rb") as file:
            while request := file.read(requests.length):
                yield request
