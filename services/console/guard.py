"""What stands between a browser and every page: headers, host, who it is, and whether a change is meant.

A change needs an editor, a token of the session's own, and, where the browser says so, one of our own pages as origin.
"""

from __future__ import annotations

import time
from urllib.parse import quote, urlsplit

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from services.console.entrance import LOCAL_NAMES, Entrance
from services.console.rendering import Renderer
from services.console.sessions import Access
from shared.mongo import ConnectionFailure

ACCESS: web.RequestKey[Access] = web.RequestKey("access", Access)
COOKIE = "leadstream_session"
CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf"
SAFE = frozenset({"GET", "HEAD"})
FOR_ALL = frozenset({"/login", "/live", "/ready"})
FOR_VIEWERS = frozenset({"/logout", "/theme"})
"""Changes of nothing but one's own browser."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

log = structlog.get_logger()


def is_api(request: web.Request) -> bool:
    return request.path == "/api" or request.path.startswith("/api/")


class Guard:
    def __init__(self, entrance: Entrance, renderer: Renderer) -> None:
        self._entrance = entrance
        self._renderer = renderer

    @property
    def middlewares(self) -> list[Middleware]:
        return [self._answer_errors, self._let_in, self._check_change]

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Of every response, when it is about to be sent."""
        response.headers.update(HEADERS)
        if is_https(request, self._entrance):
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        if not request.path.startswith("/static/"):
            response.headers.setdefault("Cache-Control", "no-store")

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The one place where an error becomes a page, or a body of the API."""
        try:
            return await handler(request)
        except web.HTTPRedirection:
            raise
        except web.HTTPException as error:
            failure = self._failure(request, error.status, error.text or error.reason)
            if "Allow" in error.headers:
                failure.headers["Allow"] = error.headers["Allow"]
            return failure
        except ConnectionFailure as error:
            log.warning("database_unreachable", error=type(error).__name__)
            return self._failure(request, 503, "The database does not answer. It is tried again when you reload.")
        except Exception as error:
            log.exception("page_failed", path=request.path, error=type(error).__name__)
            return self._failure(request, 500, "This should not have happened; the log says more.")

    def _failure(self, request: web.Request, status: int, message: str) -> web.StreamResponse:
        if is_api(request):
            return web.json_response({"error": message}, status=status)
        return self._renderer.failure(request, status, message, request.get(ACCESS))

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._entrance.is_open and _host_name(request) not in LOCAL_NAMES:
            raise web.HTTPForbidden(text="Without a password this console answers to localhost only.")
        if request.path in FOR_ALL or request.path.startswith("/static/"):
            return await handler(request)
        access = self._access(request)
        if access is None:
            return self._send_to_login(request)
        request[ACCESS] = access
        return await handler(request)

    def _access(self, request: web.Request) -> Access | None:
        header = self._entrance.proxy.header if self._entrance.proxy else ""
        named = request.headers.get(header, "") if header else ""
        return self._entrance.access(request.cookies.get(COOKIE, ""), named, request.remote, time.time())

    def _send_to_login(self, request: web.Request) -> web.StreamResponse:
        if not self._entrance.has_login:
            raise web.HTTPForbidden(text="Come through the proxy that knows who you are.")
        if is_api(request) or request.method not in SAFE or request.path == "/events":
            raise web.HTTPUnauthorized(text="Sign in first.")
        raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs, safe='')}")

    @web.middleware
    async def _check_change(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method in SAFE:
            return await handler(request)
        if not _is_own_origin(request):
            raise web.HTTPForbidden(text="This did not come from one of the console's own pages.")
        access = request.get(ACCESS)
        if access is None:
            return await handler(request)
        if not self._entrance.signer.is_csrf(await _csrf_of(request), access):
            raise web.HTTPForbidden(text="This page was too old to change anything: go back, reload, and try again.")
        if not access.may_edit and request.path not in FOR_VIEWERS:
            raise web.HTTPForbidden(text="You may look at everything here; changing it is for editors.")
        return await handler(request)


async def _csrf_of(request: web.Request) -> str:
    if CSRF_HEADER in request.headers:
        return request.headers[CSRF_HEADER]
    if request.content_type not in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        return ""
    return str((await request.post()).get(CSRF_FIELD, ""))


def _is_own_origin(request: web.Request) -> bool:
    """A browser says where a form was sent from; who says nothing has the token to show."""
    origin = request.headers.get("Origin")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return False
    return origin is None or urlsplit(origin).netloc == request.host


def _host_name(request: web.Request) -> str:
    try:
        return urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return ""


def is_https(request: web.Request, entrance: Entrance) -> bool:
    """By its own connection, or by a trusted proxy's word."""
    if request.secure:
        return True
    said = request.headers.get("X-Forwarded-Proto") == "https"
    return said and entrance.proxy is not None and entrance.proxy.is_at(request.remote)
