"""A simulator in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from services.simulator.app import APP_SECRET, create_app
from services.simulator.corpus import generate
from shared.runtime.crypto import appsecret_proof

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
TOKEN = generate(7, NOW).accounts[0].token
Client = TestClient[Request, Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with ClientSession() as session, TestClient(TestServer(create_app(generate(7, NOW), session))) as client:
        await control(client, "configure", {"instagram_per_second": 0})
        yield client


async def control(client: Client, path: str, body: object = None, status: int = 200) -> Any:
    method = "GET" if body is None else "POST"
    async with client.request(method, f"/_simulator/{path}", json=body) as answer:
        told = await answer.json()
        assert answer.status == status, told
        return told


async def get(client: Client, path: str, token: str | None = TOKEN, **query: str) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    query.setdefault("appsecret_proof", appsecret_proof(APP_SECRET, token or ""))
    async with client.get(path, params=query, headers=headers) as answer:
        return answer.status, await answer.json()
