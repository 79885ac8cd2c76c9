"""The guard before every page, as a browser meets it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientResponse, FormData, web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from services.console.entrance import entrance_of
from services.console.guard import ACCESS, Guard
from services.console.login import Login
from services.console.rendering import Renderer, environment
from services.console.web import create_app
from shared.settings import ConsoleSettings
from tests.unit.console.rows import NOON

EVIL = "<script>alert(1)</script>"
Client = TestClient[web.Request, web.Application]


async def page(request: web.Request) -> web.Response:
    return web.Response(text=f"role={request[ACCESS].role}")


async def changed(_request: web.Request) -> web.Response:
    return web.Response(text="changed")


async def broken(_request: web.Request) -> web.Response:
    raise ValueError(EVIL)


async def refused(_request: web.Request) -> web.Response:
    raise web.HTTPNotFound(text=EVIL)


@asynccontextmanager
async def browsing(**settings: object) -> AsyncIterator[Client]:
    entrance = entrance_of(ConsoleSettings.model_validate(settings))
    renderer = Renderer(entrance.signer, lambda: NOON, environment(lambda: NOON))

    async def is_ready() -> bool:
        return True

    routes = [
        *Login(entrance, renderer).routes(), web.get("/", page), web.post("/change", changed), web.get("/api/x", page),
        web.patch("/api/x", changed), web.get("/broken", broken), web.get("/refused", refused),
    ]  # fmt: skip
    app = create_app(Guard(entrance, renderer), routes, is_ready)
    async with TestClient(TestServer(app)) as client:
        yield client


@asynccontextmanager
async def guarded() -> AsyncIterator[Client]:
    passwords = {"console_password": SecretStr("edit"), "console_viewer_password": SecretStr("look")}
    async with browsing(**passwords) as client:
        yield client


async def sign_in(client: Client, password: str) -> str:
    """The CSRF token of the session."""
    answer = await client.post("/login", data={"password": password}, allow_redirects=False)
    assert answer.status == 303, await answer.text()
    assert answer.cookies["leadstream_session"]["httponly"]
    assert answer.cookies["leadstream_session"]["samesite"] == "Lax"
    text = await (await client.get("/refused")).text()
    return text.split('name="csrf" content="')[1].split('"')[0]


async def change(client: Client, token: str, **headers: str) -> ClientResponse:
    return await client.post("/change", data={"csrf": token}, headers=headers)


async def test_without_a_session_one_is_sent_to_sign_in_and_back() -> None:
    async with guarded() as client:
        answer = await client.get("/?a=1", allow_redirects=False)
        assert answer.headers["Location"] == "/login?next=/?a%3D1"
        assert (await client.get("/api/x")).status == 401
        assert (await client.post("/change")).status == 401


async def test_an_editor_with_the_token_may_change() -> None:
    async with guarded() as client:
        assert (await change(client, await sign_in(client, "edit"))).status == 200


async def test_a_viewer_sees_and_may_not_change() -> None:
    async with guarded() as client:
        token = await sign_in(client, "look")
        assert await (await client.get("/")).text() == "role=viewer"
        assert (await change(client, token)).status == 403
        assert (await client.patch("/api/x", json={}, headers={"X-CSRF-Token": token})).status == 403


@pytest.mark.parametrize("token", ["", "x", "é"])
async def test_nothing_is_changed_without_the_sessions_own_token(token: str) -> None:
    async with guarded() as client:
        await sign_in(client, "edit")
        assert (await change(client, token)).status == 403
        assert (await client.patch("/api/x", json={"csrf": token})).status == 403


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_nothing_is_changed_from_another_site_even_with_the_token(headers: dict[str, str]) -> None:
    async with guarded() as client:
        token = await sign_in(client, "edit")
        assert (await change(client, token, **headers)).status == 403


async def test_a_wrong_password_is_refused_and_soon_has_to_wait() -> None:
    async with guarded() as client:
        statuses = [(await client.post("/login", data={"password": "no"})).status for _ in range(6)]
        assert statuses == [401] * 5 + [429]
        assert (await client.post("/login", data={"password": "edit"})).status == 429


async def test_who_signs_out_is_out() -> None:
    async with guarded() as client:
        token = await sign_in(client, "look")
        await client.post("/logout", data={"csrf": token}, allow_redirects=False)
        assert (await client.get("/api/x")).status == 401


async def test_an_open_console_answers_to_this_machines_names_alone() -> None:
    async with browsing() as client:
        assert (await client.get("/")).status == 200
        assert (await client.get("/", headers={"Host": "evil.example"})).status == 403
        assert (await client.get("/", headers={"Host": "localhost:8081"})).status == 200


async def test_an_open_console_still_wants_the_token() -> None:
    async with browsing() as client:
        assert (await change(client, "")).status == 403


async def test_every_answer_forbids_what_no_page_of_ours_does() -> None:
    async with guarded() as client:
        for path in ("/login", "/static/console.css", "/static/none", "/refused", "/api/x", "/live"):
            answer = await client.get(path)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"


async def test_what_is_told_of_an_error_is_escaped() -> None:
    async with browsing() as client:
        answer = await client.get("/refused")
        assert answer.status == 404
        assert EVIL not in await answer.text()
        assert "&lt;script&gt;" in await answer.text()


async def test_what_nobody_expected_tells_nothing_of_itself() -> None:
    async with browsing() as client:
        answer = await client.get("/broken")
        assert answer.status == 500
        assert "alert" not in await answer.text()


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with browsing() as client:
        data = FormData({"csrf": "x", "notes": "n" * (600 * 1024)})
        assert (await client.post("/change", data=data)).status == 413


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/%00"])
async def test_no_file_but_an_asset_is_served(path: str) -> None:
    async with browsing() as client:
        assert (await client.get(path)).status == 404


async def test_a_theme_is_a_choice_of_the_browser_alone() -> None:
    async with guarded() as client:
        token = await sign_in(client, "look")
        await client.post("/theme", data={"csrf": token, "theme": "dark", "next": "/refused"})
        assert 'data-theme="dark"' in await (await client.get("/refused")).text()
