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
        """Check one password at a time: a hash costs 16 MB and 50 ms by design, and parallel attempts must wait too."""
        fields = await request.post()
        target, password = inner_path(str(fields.get("next", ""))), str(fields.get("password", ""))
        address = client_of(request, self._auth)
        async with self._one_at_a_time:
            if (wait := self._throttle.wait_seconds(address, time.monotonic())) > 0:
                return self._too_many_attempts(request, target, wait)
            role = await self._role_of(password)
            if role is None:
                self._throttle.failed(address, time.monotonic())
                log.info("login_refused", remote=address)
                return self._page(request, target, 401, "That is not the password.")
            self._throttle.succeeded(address)
        raise self._start_session(request, role, target)

    async def _role_of(self, password: str) -> AccessRole | None:
        """Hash in a thread, so that the event loop goes on serving."""
        return None if len(password) > MAX_PASSWORD_CHARS else await asyncio.to_thread(self._auth.role_of, password)

    def _too_many_attempts(self, request: web.Request, target: str, wait_seconds: float) -> web.Response:
        seconds = math.ceil(wait_seconds)
        response = self._page(request, target, 429, f"Too many attempts. Try again in {seconds} seconds.")
        response.headers["Retry-After"] = str(seconds)
        return response

    def _start_session(self, request: web.Request, role: AccessRole, target: str) -> web.HTTPSeeOther:
        response = web.HTTPSeeOther(target)
        response.set_cookie(
            SESSION_COOKIE, self._auth.signer.session(role, time.time()), httponly=True, samesite="Lax",
            secure=is_https(request, self._auth), max_age=LIFETIME_SECONDS,
        )  # fmt: skip
        return response

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        if request[ACCESS].is_login:
            self._auth.ended_sessions.add(request[ACCESS].session_id, time.time())
        response = web.HTTPSeeOther("/login")
        response.del_cookie(SESSION_COOKIE)
        raise response

    async def theme(self, request: web.Request) -> web.StreamResponse:
        fields = await request.post()
        response = web.HTTPSeeOther(inner_path(str(fields.get("next", ""))))
        theme = str(fields.get("theme", ""))
        if theme in THEMES:
            response.set_cookie("theme", theme, max_age=YEAR_SECONDS, samesite="Lax")
        else:
            response.del_cookie("theme")
        raise response

    def _page(self, request: web.Request, target: str, status: int = 200, problem: str = "") -> web.Response:
        return self._renderer.page(request, "login.html", None, status=status, next=target, problem=problem)


def inner_path(text: str) -> str:
    """Return `text` if it is a path of the console, else `/`: never another host's address."""
    is_inner = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if is_inner else "/"
