"""A small fake Graph API that gives scripted answers and records its requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from shared.contract.ids import Platform
from shared.graph_api.client import GraphClient
from tests.support.governors import local_governor

TOKEN = "EAAsecret"
Answer = tuple[int, object, dict[str, str]]
"""Status, body (bytes as they are, else as JSON), headers. Status 0 resets the connection."""


def ok(body: object) -> Answer:
    return 200, body, {}


def error(code: int, subcode: int | None = None, status: int = 400, **headers: str) -> Answer:
    return status, {"error": {"code": code, "error_subcode": subcode, "message": f"about {TOKEN}"}}, headers


@dataclass
class FakeGraph:
    respond: Callable[[web.Request], Awaitable[Answer]]
    url: str = ""
    requests: list[web.Request] = field(default_factory=list)
    naps: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    """How long each wait for the platform was."""
    seconds: float = 0.0
    """The governor's time."""

    @property
    def queries(self) -> list[dict[str, str]]:
        return [dict(request.query) for request in self.requests]

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        status, body, headers = await self.respond(request)
        if status == 0 and request.transport:
            request.transport.abort()
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        response = web.Response(status=status or 200, body=raw, headers=headers)
        if "Content-Length" in headers:
            response.force_close()
        return response

    async def nap(self, seconds: float) -> None:
        """Record the pause without sleeping."""
        self.naps.append(seconds)

    async def pass_time(self, seconds: float) -> None:
        self.seconds += seconds


@asynccontextmanager
async def serving(respond: Callable[[web.Request], Awaitable[Answer]]) -> AsyncIterator[tuple[FakeGraph, GraphClient]]:
    graph = FakeGraph(respond)
    application = web.Application()
    application.router.add_get("/{path:.*}", graph.handle)
    async with TestServer(application) as server, ClientSession() as session:
        graph.url = str(server.make_url(""))
        yield graph, client_of(graph, session)


@asynccontextmanager
async def answering(*answers: Answer) -> AsyncIterator[tuple[FakeGraph, GraphClient]]:
    """Give the answers in turn and repeat the last one."""
    left = list(answers)

    async def respond(_request: web.Request) -> Answer:
        return left.pop(0) if len(left) > 1 else left[0]

    async with serving(respond) as pair:
        yield pair


def client_of(graph: FakeGraph, session: ClientSession, **more: Any) -> GraphClient:
    governor = local_governor(Platform.MESSENGER, graph.waits.append, graph.pass_time, lambda: graph.seconds)
    return GraphClient(session, graph.url, "v26.0", TOKEN, governor, sleep=graph.nap, **more)
