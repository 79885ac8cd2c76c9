"""A Graph API that generates its conversations: `python -m tests.bench.pages PORT CORPUS`, with CORPUS as JSON.

It stores no messages, so a million of them take no memory, and builds its answers from strings, so that a crawl never
waits for it. An Instagram account is held to the simulator's limits.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import cast
from urllib.parse import parse_qs, urlsplit

import orjson
import uvloop

from services.simulator import corpus as simulated
from services.simulator.errors import RefusedError
from services.simulator.rate_limits import RateLimits
from shared.contract.ids import Platform

PAGE_ID, INSTAGRAM_ID = "371000000000001", "17841400000000001"
NEWEST = datetime(2026, 11, 1, tzinfo=UTC)
CACHED_PAGES = 4_096
TEXT = "Magkano po ba ito? Available pa po ba yung kulay blue, size medium? Salamat po sa sagot!"


@dataclass(frozen=True, slots=True)
class Corpus:
    """`conversations` of `messages` each; with `large`, one more of that many messages is listed first."""

    conversations: int
    messages: int
    large: int = 0
    latency_ms: int = 0
    platform: str = "messenger"

    @property
    def sizes(self) -> int:
        return self.conversations + (self.large > 0)

    def messages_of(self, number: int) -> int:
        return self.large if self.large and number == 0 else self.messages

    @property
    def account_id(self) -> str:
        return INSTAGRAM_ID if self.platform == Platform.INSTAGRAM else PAGE_ID


@dataclass(slots=True)
class Pages:
    """The bodies of answers, generated and cached."""

    corpus: Corpus
    body: Callable[[str, int, int], bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.body = lru_cache(CACHED_PAGES)(self._body)

    def _body(self, thread: str, start: int, limit: int) -> bytes:
        """Return a page of a thread's messages, or of the listing when `thread` is empty."""
        number = int(thread.removeprefix("t_")) if thread else 0
        total = self.corpus.messages_of(number) if thread else self.corpus.sizes
        end = min(total, start + limit)
        items = (self._message(number, each) if thread else self._conversation(each) for each in range(start, end))
        paging = f'{{"cursors":{{"before":"{start}","after":"{end}"}}'
        following = f',"next":"http://x/y?after={end}"' if end < total else ""
        return f'{{"data":[{",".join(items)}],"paging":{paging}{following}}}}}'.encode()

    def _conversation(self, number: int) -> str:
        moved = _timestamp(NEWEST - timedelta(minutes=number))
        return (
            f'{{"id":"t_{number}","updated_time":"{moved}","message_count":{self.corpus.messages_of(number)},'
            f'"participants":{{"data":[{_customer(number)},{{"id":"{self.corpus.account_id}","name":"Shop"}}]}}}}'
        )

    def _message(self, number: int, index: int) -> str:
        sender = _customer(number) if index % 2 else f'{{"id":"{self.corpus.account_id}","name":"Shop"}}'
        at = _timestamp(NEWEST - timedelta(minutes=number, seconds=index))
        return (
            f'{{"id":"m_{number}_{index}_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789","created_time":"{at}",'
            f'"from":{sender},"to":{{"data":[{_customer(number)}]}},"message":"{TEXT}"}}'
        )


def _customer(number: int) -> str:
    return f'{{"id":"{8130000000000000 + number}","name":"Maria Santos {number}"}}'


def _timestamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S+0000")


@dataclass(slots=True)
class Api:
    """Answers requests and counts them."""

    corpus: Corpus
    pages: Pages
    limits: RateLimits = field(default_factory=RateLimits)
    calls: Counter[str] = field(default_factory=Counter)
    first_at: float = 0.0
    last_at: float = 0.0

    def answer(self, target: str) -> tuple[int, bytes, float]:
        """Return the status, the body, and the seconds to wait before sending them."""
        split = urlsplit(target)
        match split.path.strip("/").split("/"):
            case ["live"]:
                return 200, b"{}", 0
            case ["stats"]:
                seconds = self.last_at - self.first_at
                return 200, orjson.dumps({**self.calls, **self.limits.stats, "seconds": seconds}), 0
            case [_, node, edge]:
                return *self._graph(node, edge, parse_qs(split.query)), self.corpus.latency_ms / 1000
        return 404, b"{}", 0

    def _graph(self, node: str, edge: str, query: dict[str, list[str]]) -> tuple[int, bytes]:
        self.calls[edge] += 1
        self.last_at = time.monotonic()
        self.first_at = self.first_at or self.last_at
        try:
            self._limit()
        except RefusedError as error:
            return error.refusal.status, orjson.dumps(error.refusal.body("trace"))
        start, limit = int(query.get("after", ["0"])[0]), int(query.get("limit", ["25"])[0])
        return 200, self.pages.body(node if edge == "messages" else "", start, limit)

    def _limit(self) -> None:
        platform = Platform(self.corpus.platform)
        account = simulated.SimulatedAccount(platform, self.corpus.account_id, PAGE_ID, "Shop", "shop", "token")
        self.limits.arrive(account)
        self.limits.admit(account)


class Connection(asyncio.Protocol):
    """Minimal HTTP/1.1: GET requests on a kept-alive connection, one after the other."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's transport is not a subclass

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            request, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            status, body, seconds = self._api.answer(request.split(b" ", 2)[1].decode())
            head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            if seconds:
                asyncio.get_running_loop().call_later(seconds, self._send, head.encode() + body)
            else:
                self._send(head.encode() + body)

    def _send(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


async def serve(port: int, corpus: Corpus) -> None:
    pages = Pages(corpus)
    if corpus.conversations * (1 + corpus.messages // 100) < CACHED_PAGES and not corpus.large:
        for number in range(corpus.conversations):
            for start in range(0, corpus.messages, 100):
                pages.body(f"t_{number}", start, 100)
    api = Api(corpus, pages)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(api), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Corpus(**orjson.loads(sys.argv[2]))))
