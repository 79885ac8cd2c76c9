"""Middlewares around every page: error pages, security headers, the host name, authentication and CSRF checks.

A change needs an editor, the session's own CSRF token and, where the browser names the origin, one of our own pages. A
program with an API token needs neither CSRF token nor origin: no other site can make a browser send its token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from urllib.parse import quote, urlsplit

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from services.console.auth.authentication import Authentication
from services.console.auth.sessions import Access
from services.console.view.rendering import Renderer
from shared.contract.failures import UnreachableError
from shared.runtime.logging import without_message
from shared.store.mongo import ConnectionFailure

ACCESS: web.RequestKey[Access] = web.RequestKey("access", Access)
RESPONSE_STARTED: web.RequestKey[bool] = web.RequestKey("response_started", bool)
SESSION_COOKIE = "leadstream_session"
CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf"
SAFE_METHODS = frozenset({"GET", "HEAD"})
PUBLIC_PATHS = frozenset({"/login", "/live"})
VIEWER_PATHS = frozenset({"/logout", "/theme"})
"""Changes that concern nothing but the viewer's own browser."""
SECURITY_HEADERS = {
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


class AuthMiddleware:
    def __init__(self, auth: Authentication, renderer: Renderer) -> None:
        self._auth = auth
        self._renderer = renderer
        self._changes: set[asyncio.Future[web.StreamResponse]] = set()

    @property
    def middlewares(self) -> list[Middleware]:
        return [self._answer_errors, self._authenticate, self._check_change]

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the security headers to a response that is about to be sent."""
        request[RESPONSE_STARTED] = True
        response.headers.update(SECURITY_HEADERS)
        if is_https(request, self._auth):
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        if not request.path.startswith("/static/"):
            response.headers.setdefault("Cache-Control", "no-store")

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The only place where an error becomes a page or an API body."""
        try:
            return await handler(request)
        except web.HTTPRedirection:
            raise
        except web.HTTPException as error:
            failure = self._failure(request, error.status, error.text or error.reason)
            if "Allow" in error.headers:
                failure.headers["Allow"] = error.headers["Allow"]
            if error.status == 401 and is_api(request):
                failure.headers["WWW-Authenticate"] = "Bearer"
            return failure
        except ConnectionFailure as error:
            log.warning("database_unreachable", error=type(error).__name__)
            return self._failure(request, 503, "The database does not answer. Reload to try again.")
        except UnreachableError as error:
            log.warning("server_unreachable", error=str(error))
            return self._failure(request, 503, f"{error}.")
        except Exception as error:  # noqa: BLE001
            if not (request.get(RESPONSE_STARTED) and isinstance(error, ConnectionError)):  # else the browser has left
                log.error("page_failed", route=_route(request), **without_message(error))  # noqa: TRY400
            return self._failure(request, 500, "An unexpected error occurred. The log has the details.")

    def _failure(self, request: web.Request, status: int, message: str) -> web.StreamResponse:
        """Cut the connection if the response has started: a file that ends early must not look complete."""
        if request.get(RESPONSE_STARTED):
            raise ConnectionResetError("the response failed after it had started") from None
        if is_api(request):
            return web.json_response({"error": message}, status=status)
        return self._renderer.failure(request, status, message, request.get(ACCESS))

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._auth.answers_to(_host_name(request)):
            raise web.HTTPForbidden(
                text="Without a password this console answers to localhost only."
                if self._auth.is_open
                else "This console does not answer to that host name."
            )
        if request.path in PUBLIC_PATHS or request.path.startswith("/static/"):
            return await handler(request)
        access = self._access(request)
        if access is None:
            return self._ask_to_sign_in(request)
        request[ACCESS] = access
        return await handler(request)

    def _access(self, request: web.Request) -> Access | None:
        if is_api(request) and (token := _token(request)) is not None:
            return self._auth.access_of_token(token)
        header = self._auth.proxy.header if self._auth.proxy else ""
        proxy_users = request.headers.getall(header, []) if header else []
        return self._auth.access(request.cookies.get(SESSION_COOKIE, ""), proxy_users, request.remote, time.time())

    def _ask_to_sign_in(self, request: web.Request) -> web.StreamResponse:
        if is_api(request) and _token(request) is not None:
            raise web.HTTPUnauthorized(text="The token is not known.")
        if not self._auth.has_login:
            raise web.HTTPForbidden(text="Open the console through the proxy that signs you in.")
        if is_api(request) or request.method not in SAFE_METHODS or request.path == "/events":
            raise web.HTTPUnauthorized(text="Sign in first.")
        raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs, safe='')}")

    @web.middleware
    async def _check_change(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method in SAFE_METHODS:
            return await handler(request)
        access = request.get(ACCESS)
        if not (access and access.is_token):
            await self._check_csrf(request, access)
        if access and not access.may_edit and request.path not in VIEWER_PATHS:
            raise web.HTTPForbidden(text="You may look at everything here; only editors may make changes.")
        return await self._finish(handler(request))

    async def _check_csrf(self, request: web.Request, access: Access | None) -> None:
        if not _is_own_origin(request, is_https=is_https(request, self._auth)):
            raise web.HTTPForbidden(text="The request did not come from one of the console's own pages.")
        if access and not self._auth.signer.is_csrf(await _csrf_of(request), access):
            raise web.HTTPForbidden(text="This page is too old to make changes: go back, reload, and try again.")

    async def _finish(self, change: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        """Finish a change that has begun, even when the browser that asked for it disconnects."""
        running = asyncio.ensure_future(change)
        self._changes.add(running)
        running.add_done_callback(self._changes.discard)
        return await asyncio.shield(running)


async def _csrf_of(request: web.Request) -> str:
    if CSRF_HEADER in request.headers:
        return request.headers[CSRF_HEADER]
    if request.content_type not in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        return ""
    return str((await request.post()).get(CSRF_FIELD, ""))


def _is_own_origin(request: web.Request, *, is_https: bool) -> bool:
    """Without an Origin header the CSRF token alone decides."""
    origin = request.headers.get("Origin")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return False
    if origin is None:
        return True
    scheme, host = _split(origin)
    return host == request.host and (scheme == "https" or not is_https)


def _split(origin: str) -> tuple[str, str]:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc


def _host_name(request: web.Request) -> str:
    try:
        return (urlsplit(f"//{request.host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _token(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.casefold() == "bearer" else None


def _route(request: web.Request) -> str:
    """Return the route's pattern: the path itself would name the customer."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else ""


def client_of(request: web.Request, auth: Authentication) -> str:
    """Return the client's address, behind our own proxies."""
    forwarded_for = ",".join(request.headers.getall("X-Forwarded-For", []))
    return auth.trusted_proxies.client(request.remote, forwarded_for)


def is_https(request: web.Request, auth: Authentication) -> bool:
    """Whether the browser's connection is encrypted: the request's own, or the one to a trusted proxy."""
    if request.secure:
        return True
    return request.headers.get("X-Forwarded-Proto") == "https" and auth.trusted_proxies.has(request.remote)
