"""What the fakes of all AI providers share. A test sets the replies, each used once and the last repeated."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.test_utils import TestServer

GOOD: dict[str, Any] = {
    "evidence": [1], "last_act": "asks how to pay", "reasoning": "Asked how to pay.", "lead_band": "hot",
    "lead_score": 75, "lead_status": "QUALIFIED", "confidence": 88, "recommended_stage": "Qualified",
    "summary": "Asked for a price. Wants it on Friday. Ready to pay.", "language": "EN",
    "next_action": "Send the account number.",
}  # fmt: skip
DIGEST = "Asked for a price."
INPUT_TOKENS, OUTPUT_TOKENS = 900, 120
"""The cost of every answer."""
MAX_BODY = 64 << 20


@dataclass(frozen=True)
class Reply:
    """A body, sent as JSON unless it is text, after `delay_seconds`. With `hangs` it is never sent."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    hangs: bool = False

    def response(self) -> web.Response:
        if isinstance(self.body, str):
            return web.Response(status=self.status, text=self.body, content_type="text/html", headers=self.headers)
        return web.json_response(self.body, status=self.status, headers=self.headers)


def hanging() -> Reply:
    return Reply({}, hangs=True)


@dataclass(frozen=True)
class Asked(ABC):
    """A received request."""

    key: str
    model: str
    method: str
    body: dict[str, Any]
    connection: object

    @property
    @abstractmethod
    def system(self) -> str: ...

    @property
    @abstractmethod
    def prompt(self) -> str: ...

    @property
    @abstractmethod
    def wants_digest(self) -> bool: ...


@dataclass
class FakeAI(ABC):
    """By default it gives good answers.

    `answers` are the replies, in order, the last one repeated. With `answers_together`, no call is answered before so
    many have arrived. A prompt of more than `reads_bytes` is too long. `asked` has the requests, if `remembers`.
    """

    url: str = ""
    answers: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    delay_seconds: float = 0.0
    answers_together: int = 1
    reads_bytes: int = MAX_BODY
    remembers: bool = True
    _waiting: int = 0
    _together: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    @abstractmethod
    def app(self) -> web.Application:
        """Return the endpoint, each of whose calls `_handle` answers."""

    @abstractmethod
    async def _asked(self, request: web.Request) -> Asked: ...

    @abstractmethod
    def _reply(self, asked: Any) -> Reply: ...

    def says(self, *replies: Reply) -> None:
        """Replace the answers."""
        self.answers[:] = replies

    @property
    def models_asked(self) -> list[str]:
        return [asked.model for asked in self.asked]

    @property
    def keys_asked(self) -> list[str]:
        return [asked.key for asked in self.asked]

    def close(self) -> None:
        """End the calls that hang."""
        self._closed.set()

    async def _handle(self, request: web.Request) -> web.Response:
        asked = await self._asked(request)
        if self.remembers:
            self.asked.append(asked)
        reply = self._reply(asked)
        if reply.hangs:
            await self._closed.wait()
        await self._others()
        await asyncio.sleep(self.delay_seconds + reply.delay_seconds)
        return reply.response()

    async def _others(self) -> None:
        self._waiting += 1
        together = self._together
        if self._waiting >= self.answers_together:
            self._waiting, self._together = 0, asyncio.Event()
            together.set()
        await together.wait()


Fake = TypeVar("Fake", bound=FakeAI)


@asynccontextmanager
async def serving(fake: Fake) -> AsyncIterator[Fake]:
    async with TestServer(fake.app()) as server:
        fake.url = str(server.make_url("")).rstrip("/")
        try:
            yield fake
        finally:
            fake.close()
