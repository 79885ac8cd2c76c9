"""The authentication middleware in front of every page, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientPayloadError, ClientResponse, FormData, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from multidict import MultiDict
from pydantic import SecretStr

from services.console.auth.auth_middleware import ACCESS, AuthMiddleware
from services.console.auth.authentication import authentication_of
from services.console.auth.sessions import Access, AccessRole
from services.console.view.rendering import Renderer, environment
from shared.runtime.settings import ConsoleSettings
from tests.unit.console.console_app import TOKENS, Client, app_of
from tests.unit.console.rows import NOON

EVIL = "<script>alert(1)</script>"


async def page(request: web.Request) -> web.Response:
    return web.Response(text=f"role={request[ACCESS].role}")


async def changed(_request: web.Request) -> web.Response:
    return web.Response(text="changed")


async def broken(_request: web.Request) -> web.Response:
    raise ValueError(EVIL)


async def cut(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(b"the first half")
    raise ValueError(EVIL)


async def refused(_request: web.Request) -> web.Response:
    raise web.HTTPNotFound(text=EVIL)


@asynccontextmanager
async def browsing(**settings: object) -> AsyncIterator[Client]:
    routes = [
        web.get("/", page), web.post("/change", changed), web.get("/api/x", page),
        web.patch("/api/x", changed), web.get("/broken", broken), web.get("/refused", refused),
        web.get("/cut", cut), web.post("/api/x", changed),
    ]  # fmt: skip
    async with TestClient(TestServer(app_of(routes=routes, **settings))) as client:
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


async def test_without_a_session_a_page_redirects_to_sign_in() -> None:
    async with guarded() as client:
        answer = await client.get("/?a=1", allow_redirects=False)
        assert answer.headers["Location"] == "/login?next=/?a%3D1"
        assert (await client.get("/api/x")).status == 401
        assert (await client.post("/change")).status == 401


async def test_an_editor_with_the_csrf_token_may_make_changes() -> None:
    async with guarded() as client:
        assert (await change(client, await sign_in(client, "edit"))).status == 200


async def test_a_viewer_reads_and_may_not_make_changes() -> None:
    async with guarded() as client:
        token = await sign_in(client, "look")
        assert await (await client.get("/")).text() == "role=viewer"
        assert (await change(client, token)).status == 403
        assert (await client.patch("/api/x", json={}, headers={"X-CSRF-Token": token})).status == 403


@pytest.mark.parametrize("token", ["", "x", "é"])
async def test_a_change_without_the_sessions_csrf_token_is_refused(token: str) -> None:
    async with guarded() as client:
        await sign_in(client, "edit")
        assert (await change(client, token)).status == 403
        assert (await client.patch("/api/x", json={"csrf": token})).status == 403


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_change_from_another_site_is_refused_even_with_the_token(headers: dict[str, str]) -> None:
    async with guarded() as client:
        token = await sign_in(client, "edit")
        assert (await change(client, token, **headers)).status == 403


async def test_wrong_passwords_are_refused_and_then_throttled() -> None:
    async with guarded() as client:
        statuses = [(await client.post("/login", data={"password": "no"})).status for _ in range(6)]
        assert statuses == [401] * 5 + [429]
        assert (await client.post("/login", data={"password": "edit"})).status == 429


async def test_concurrent_attempts_are_throttled_like_sequential_ones() -> None:
    async with guarded() as client:
        answers = await asyncio.gather(*(client.post("/login", data={"password": f"no{i}"}) for i in range(20)))
        assert sorted(each.status for each in answers) == [401] * 5 + [429] * 15


async def test_behind_a_proxy_each_client_is_throttled_separately() -> None:
    async with guarded() as client:
        for _ in range(6):
            await client.post("/login", data={"password": "no"}, headers={"X-Forwarded-For": "1.1.1.1, 203.0.113.9"})
        again = {"X-Forwarded-For": "2.2.2.2, 203.0.113.9"}
        assert (await client.post("/login", data={"password": "edit"}, headers=again)).status == 429
        other = {"X-Forwarded-For": "198.51.100.7"}
        answer = await client.post("/login", data={"password": "edit"}, headers=other, allow_redirects=False)
        assert answer.status == 303


@pytest.mark.parametrize(("scheme", "is_secure"), [("https", True), ("http", False)])
async def test_behind_a_proxy_with_tls_the_session_cookie_is_secure(scheme: str, is_secure: bool) -> None:
    async with guarded() as client:
        headers = {"X-Forwarded-Proto": scheme}
        answer = await client.post("/login", data={"password": "edit"}, headers=headers, allow_redirects=False)
        assert bool(answer.cookies["leadstream_session"]["secure"]) is is_secure


async def test_a_session_cannot_be_started_from_another_site() -> None:
    async with guarded() as client:
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = await client.post("/login", data={"password": "look"}, headers=headers, allow_redirects=False)
            assert answer.status == 403
            assert "leadstream_session" not in answer.cookies


async def test_an_unencrypted_page_of_the_same_host_is_another_site() -> None:
    async with guarded() as client:
        token = await sign_in(client, "edit")
        host = f"{client.host}:{client.port}"
        for scheme, status in (("http", 403), ("https", 200)):
            headers = {"X-Forwarded-Proto": "https", "Origin": f"{scheme}://{host}"}
            assert (await change(client, token, **headers)).status == status


async def test_a_copied_cookie_is_refused_after_its_owner_signs_out() -> None:
    async with guarded() as client:
        token = await sign_in(client, "edit")
        kept = {each.key: each.value for each in client.session.cookie_jar}
        await client.post("/logout", data={"csrf": token}, allow_redirects=False)
        assert (await client.get("/api/x", cookies=kept)).status == 401


async def by_token(client: Client, method: str, path: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with client.request(method, path, headers=headers, allow_redirects=False) as answer:
        return answer.status


async def test_an_api_token_gives_its_role_and_needs_no_csrf_token() -> None:
    async with browsing(console_password=SecretStr("edit"), **TOKENS) as client:
        assert await by_token(client, "GET", "/api/x", "v" * 32) == 200
        assert await by_token(client, "POST", "/api/x", "v" * 32) == 403
        assert await by_token(client, "POST", "/api/x", "e" * 32) == 200


async def test_an_api_token_is_valid_for_the_api_only_and_an_unknown_one_is_refused() -> None:
    async with browsing(console_password=SecretStr("edit"), **TOKENS) as client:
        assert await by_token(client, "GET", "/", "e" * 32) == 303
        assert await by_token(client, "POST", "/change", "e" * 32) == 401
        await sign_in(client, "edit")
        answer = await client.get("/api/x", headers={"Authorization": "Bearer wrong"})
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert (await answer.json())["error"]


async def test_signing_out_ends_the_session() -> None:
    async with guarded() as client:
        token = await sign_in(client, "look")
        await client.post("/logout", data={"csrf": token}, allow_redirects=False)
        assert (await client.get("/api/x")).status == 401


async def test_an_open_console_answers_to_local_names_only() -> None:
    async with browsing() as client:
        assert (await client.get("/")).status == 200
        assert (await client.get("/", headers={"Host": "evil.example"})).status == 403
        assert (await client.get("/", headers={"Host": "localhost:8081"})).status == 200


async def test_a_console_with_host_names_answers_to_those_only() -> None:
    async with browsing(console_password=SecretStr("edit"), console_names="Leads.Example") as client:
        for path in ("/login", "/static/console.css", "/live"):
            assert (await client.get(path, headers={"Host": "leads.example:443"})).status == 200
            assert (await client.get(path, headers={"Host": "evil.example"})).status == 403


async def test_a_request_with_two_proxy_names_is_refused() -> None:
    async with browsing(console_proxy_header="X-User", console_proxy_editors="ana") as client:
        assert await (await client.get("/", headers={"X-User": "ana"})).text() == "role=editor"
        twice = MultiDict([("X-User", "ana"), ("X-User", "ben")])
        assert (await client.get("/", headers=twice)).status == 403


async def test_a_response_that_fails_half_way_does_not_look_complete() -> None:
    async with browsing() as client:
        answer = await client.get("/cut")
        with pytest.raises(ClientPayloadError):
            await answer.read()


async def test_a_change_is_finished_when_the_browser_disconnects() -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        begun.set()
        await may_end.wait()
        ended.set()
        return web.Response()

    auth = authentication_of(ConsoleSettings())
    middleware = AuthMiddleware(auth, Renderer(auth.signer, lambda: NOON, environment(lambda: NOON)))
    request = make_mocked_request("POST", "/api/x")
    request[ACCESS] = Access(AccessRole.EDITOR, "token", is_token=True)
    going = asyncio.ensure_future(middleware.middlewares[-1](request, slow))
    await begun.wait()
    going.cancel()
    await asyncio.wait([going])
    may_end.set()
    await asyncio.wait_for(ended.wait(), 5)


async def test_an_open_console_still_requires_the_csrf_token() -> None:
    async with browsing() as client:
        assert (await change(client, "")).status == 403


async def test_every_response_has_the_security_headers() -> None:
    async with guarded() as client:
        for path in ("/login", "/static/console.css", "/static/none", "/refused", "/api/x", "/live"):
            answer = await client.get(path)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"


async def test_an_error_message_is_escaped() -> None:
    async with browsing() as client:
        answer = await client.get("/refused")
        assert answer.status == 404
        assert EVIL not in await answer.text()
        assert "&lt;script&gt;" in await answer.text()


async def test_an_unexpected_error_shows_and_logs_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    async with browsing() as client:
        answer = await client.get("/broken")
        logged = capsys.readouterr()
        assert "page_failed" in logged.out + logged.err
        assert "alert" not in logged.out + logged.err
        assert answer.status == 500
        assert "alert" not in await answer.text()


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with browsing() as client:
        data = FormData({"csrf": "x", "notes": "n" * (600 * 1024)})
        assert (await client.post("/change", data=data)).status == 413


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/%00"])
async def test_only_assets_are_served_as_files(path: str) -> None:
    async with browsing() as client:
        assert (await client.get(path)).status == 404


async def test_a_theme_is_stored_in_the_browser() -> None:
    async with guarded() as client:
        token = await sign_in(client, "look")
        await client.post("/theme", data={"csrf": token, "theme": "dark", "next": "/refused"})
        assert 'data-theme="dark"' in await (await client.get("/refused")).text()
