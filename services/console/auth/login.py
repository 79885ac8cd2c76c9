"""Signing in and out, and the choice of a theme."""

from __future__ import annotations

import asyncio
import math
import time

import structlog
from aiohttp import web

from services.console.auth.auth_middleware import ACCESS, SESSION_COOKIE, client_of, is_https
from services.console.auth.authentication import Authentication
from services.console.auth.login_throttle import LoginThrottle
from services.console.auth.sessions import LIFETIME_SECONDS, AccessRole
from services.console.view.rendering import THEMES, Renderer

MAX_PASSWORD_CHARS = 1024
YEAR_SECONDS = 365 * 24 * 3600

log = structlog.get_logger()


class Login:
    def __init__(self, auth: Authentication, renderer: Renderer) -> None:
        self._auth = auth
        self._renderer = renderer
        self._throttle = LoginThrottle()
        self._one_at_a_time = asyncio.Semaphore(1)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/login", self.form),
            web.post("/login", self.sign_in),
            web.post("/logout", self.sign_out),
            web.post("/theme", self.theme),
        ]

    async def form(self, request: web.Request) -> web.Response:
        if not self._auth.has_login:
            raise web.HTTPSeeOther("/")
        return self._page(request, inner_path(request.query.get("next", "")))

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """One at a time: a hash costs 16 MB and 50 ms by design, and who sends many at once is to wait as well."""
        fields = await request.post()
        after, password = inner_path(str(fields.get("next", ""))), str(fields.get("password", ""))
        address = client_of(request, self._auth)
        async with self._one_at_a_time:
            if (wait := self._throttle.wait_seconds(address, time.monotonic())) > 0:
                return self._too_often(request, after, wait)
            role = await self._role_of(password)
            if role is None:
                self._throttle.failed(address, time.monotonic())
                log.info("login_refused", remote=address)
                return self._page(request, after, 401, "That is not the password.")
            self._throttle.succeeded(address)
        raise self._with_session(request, role, after)

    async def _role_of(self, password: str) -> AccessRole | None:
        """Off the loop."""
        return None if len(password) > MAX_PASSWORD_CHARS else await asyncio.to_thread(self._auth.role_of, password)

    def _too_often(self, request: web.Request, after: str, wait: float) -> web.Response:
        seconds = math.ceil(wait)
        answer = self._page(request, after, 429, f"Too many tries. Try again in {seconds} seconds.")
        answer.headers["Retry-After"] = str(seconds)
        return answer

    def _with_session(self, request: web.Request, role: AccessRole, after: str) -> web.HTTPSeeOther:
        answer = web.HTTPSeeOther(after)
        answer.set_cookie(
            SESSION_COOKIE, self._auth.signer.session(role, time.time()), httponly=True, samesite="Lax",
            secure=is_https(request, self._auth), max_age=LIFETIME_SECONDS,
        )  # fmt: skip
        return answer

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        if request[ACCESS].is_login:
            self._auth.ended_sessions.add(request[ACCESS].session_id, time.time())
        answer = web.HTTPSeeOther("/login")
        answer.del_cookie(SESSION_COOKIE)
        raise answer

    async def theme(self, request: web.Request) -> web.StreamResponse:
        fields = await request.post()
        answer = web.HTTPSeeOther(inner_path(str(fields.get("next", ""))))
        chosen = str(fields.get("theme", ""))
        if chosen in THEMES:
            answer.set_cookie("theme", chosen, max_age=YEAR_SECONDS, samesite="Lax")
        else:
            answer.del_cookie("theme")
        raise answer

    def _page(self, request: web.Request, after: str, status: int = 200, problem: str = "") -> web.Response:
        return self._renderer.page(request, "login.html", None, status=status, next=after, problem=problem)


def inner_path(text: str) -> str:
    """A path of ours, never another host's."""
    is_ours = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if is_ours else "/"
