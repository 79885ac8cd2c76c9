"""The simulated Graph API gives what the real one gives, and refuses what it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from services.simulator.commands import APP_SECRET, create_app
from services.simulator.corpus import INSTAGRAM_ID, PAGE_ID, generate
from shared.crypto import appsecret_proof

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
TOKEN = generate(7, NOW).accounts[0].token
Client = TestClient[Request, Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with ClientSession() as session, TestClient(TestServer(create_app(generate(7, NOW), session))) as client:
        await client.post("/_simulator/configure", json={"instagram_per_second": 0})
        yield client


async def get(client: Client, path: str, token: str | None = TOKEN, **query: str) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    query.setdefault("appsecret_proof", appsecret_proof(APP_SECRET, token or ""))
    async with client.get(path, params=query, headers=headers) as answer:
        return answer.status, await answer.json()


async def all_pages(client: Client, path: str, **query: str) -> list[list[dict[str, Any]]]:
    pages: list[list[dict[str, Any]]] = []
    cursor: dict[str, str] = {}
    while True:
        status, page = await get(client, path, **query, **cursor)
        assert status == 200, page
        pages.append(page["data"])
        if "next" not in page.get("paging", {}):
            return pages
        cursor = {"after": page["paging"]["cursors"]["after"]}


async def oracle(client: Client) -> list[dict[str, Any]]:
    async with client.get("/_simulator/messages") as answer:
        told: list[dict[str, Any]] = await answer.json()
        return told


@pytest.mark.parametrize(("platform", "account_id"), [("messenger", PAGE_ID), ("instagram", INSTAGRAM_ID)])
async def test_paging_to_the_end_gives_every_conversation_once_newest_first(
    client: Client, platform: str, account_id: str
) -> None:
    fields = "id,updated_time,message_count,participants"
    pages = await all_pages(client, f"/v26.0/{PAGE_ID}/conversations", platform=platform, limit="10", fields=fields)
    found = [conversation for page in pages for conversation in page]
    expected = {each["thread_id"] for each in await oracle(client) if each["account_id"] == account_id}
    assert len(found) == len(expected)
    assert {each["id"] for each in found} == expected
    times = [each["updated_time"] for each in found]
    assert times == sorted(times, reverse=True)


async def test_pages_may_be_empty_or_short_and_still_not_the_last(client: Client) -> None:
    pages = await all_pages(client, f"/v26.0/{PAGE_ID}/conversations", platform="messenger", limit="5")
    assert [] in pages[:-1]
    assert any(0 < len(page) < 5 for page in pages[:-1])


async def test_every_message_of_every_conversation_can_be_paged(client: Client) -> None:
    for each in (await oracle(client))[::12]:
        pages = await all_pages(client, f"/v26.0/{each['thread_id']}/messages", fields="id,created_time", limit="7")
        assert [message["id"] for page in pages for message in page] == each["ids"]


async def test_instagram_shows_the_details_of_the_twenty_newest_only(client: Client) -> None:
    longest = max(
        (each for each in await oracle(client) if each["platform"] == "instagram"), key=lambda e: len(e["ids"])
    )
    _, page = await get(client, f"/v26.0/{longest['thread_id']}/messages", fields="id,from,message", limit="100")
    assert [("from" in message) for message in page["data"]] == [True] * 20 + [False] * (len(page["data"]) - 20)
    status, error = await get(client, f"/v26.0/{longest['ids'][-1]}", fields="id,message")
    assert (status, error["error"]["code"]) == (400, 100)


async def test_fields_can_be_expanded(client: Client) -> None:
    thread = (await oracle(client))[0]
    _, node = await get(client, f"/v26.0/{thread['thread_id']}", fields="participants,messages.limit(3){id,message}")
    assert [message["id"] for message in node["messages"]["data"]] == thread["ids"][:3]
    assert node["participants"]["data"][0]["id"] == thread["customer_id"]


REFUSALS: list[tuple[str, dict[str, str], int, int, int | None]] = [
    (f"/v26.0/{INSTAGRAM_ID}/conversations", {"platform": "instagram"}, 400, 3, None),
    (f"/v26.0/{PAGE_ID}/conversations", {"since": "1"}, 400, 100, None),
    (f"/v26.0/{PAGE_ID}/conversations", {"platform": "whatsapp"}, 400, 100, None),
    (f"/v26.0/{PAGE_ID}/conversations", {"fields": "id,nonsense"}, 400, 100, None),
    (f"/v26.0/{PAGE_ID}/conversations", {"fields": "id,messages{id"}, 400, 100, None),
    (f"/v26.0/{PAGE_ID}/conversations", {"limit": "0"}, 400, 100, None),
    (f"/v26.0/{PAGE_ID}/conversations", {"after": "nonsense"}, 400, 100, None),
    (f"/v26.0/{PAGE_ID}/conversations", {"appsecret_proof": "00"}, 400, 100, None),
    ("/v26.0/me", {"ids": "1,2"}, 500, 100, None),
    ("/v26.0/12345", {}, 400, 100, 33),
    ("/v26.0/t_1/messages", {}, 400, 100, 33),
    ("/v99.0/me", {}, 400, 2500, None),
]


@pytest.mark.parametrize(("path", "query", "status", "code", "subcode"), REFUSALS)
async def test_what_the_real_one_refuses_is_refused(
    client: Client, path: str, query: dict[str, str], status: int, code: int, subcode: int | None
) -> None:
    answered, body = await get(client, path, **query)
    assert (answered, body["error"]["code"], body["error"].get("error_subcode")) == (status, code, subcode)


@pytest.mark.parametrize(("token", "status", "code"), [(None, 400, 2500), ("EAAGwrong", 401, 190)])
async def test_a_token_is_needed(client: Client, token: str | None, status: int, code: int) -> None:
    answered, body = await get(client, "/v26.0/me", token)
    assert (answered, body["error"]["code"]) == (status, code)


async def test_next_repeats_the_token_where_it_stood_in_the_query(client: Client) -> None:
    query = {"access_token": TOKEN, "appsecret_proof": appsecret_proof(APP_SECRET, TOKEN), "limit": "5"}
    async with client.get(f"/v26.0/{PAGE_ID}/conversations", params=query) as answer:
        assert f"access_token={TOKEN}" in (await answer.json())["paging"]["next"]


async def test_instagram_is_held_to_two_calls_a_second(client: Client) -> None:
    await client.post("/_simulator/configure", json={"instagram_per_second": 2})
    path = f"/v26.0/{PAGE_ID}/conversations"
    codes = [(await get(client, path, platform="instagram"))[1].get("error", {}).get("code") for _ in range(8)]
    assert codes[:3] == [None] * 3
    assert 80002 in codes


@pytest.mark.parametrize("effect", ["html", "truncate", "reset", "error_in_200", "error"])
async def test_faults_happen_as_often_as_asked(client: Client, effect: str) -> None:
    await client.post("/_simulator/faults", json=[{"path": "/me", "effect": effect, "skip": 1, "times": 1}])
    assert (await get(client, "/v26.0/me"))[0] == 200
    assert not await is_answered(client)
    assert await is_answered(client)


async def is_answered(client: Client) -> bool:
    try:
        status, body = await get(client, "/v26.0/me")
    except (ClientError, ValueError):
        return False
    return status == 200 and "error" not in body
