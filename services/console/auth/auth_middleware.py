"""What stands between a browser and every page: headers, host, who it is, and whether a change is meant.

A change needs an editor, a token of the session's own, and, where the browser says so, one of our own pages as origin.
A program that shows its token to the API needs neither of the latter: no page of another's can make a browser send it.
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
RESPONSE_STARTED: web.RequestKey[bool] = web.RequestKey("begun", bool)
SESSION_COOKIE = "leadstream_session"
CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf"
SAFE_METHODS = frozenset({"GET", "HEAD"})
WRONG_NAME = {
    True: "Without a password this console answers to localhost only.",
    False: "This console does not answer to that name.",
}
PUBLIC_PATHS = frozenset({"/login", "/live", "/ready"})
VIEWER_PATHS = frozenset({"/logout", "/theme"})
"""Changes of nothing but one's own browser."""
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
        return [self._answer_errors, self._let_in, self._check_change]

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Of every response, when it is about to be sent."""
        request[RESPONSE_STARTED] = True
        response.headers.update(SECURITY_HEADERS)
        if is_https(request, self._auth):
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
            if error.status == 401 and is_api(request):
                failure.headers["WWW-Authenticate"] = "Bearer"
            return failure
        except ConnectionFailure as error:
            log.warning("database_unreachable", error=type(error).__name__)
            return self._failure(request, 503, "The database does not answer. It is tried again when you reload.")
        except UnreachableError as error:
            log.warning("server_unreachable", error=str(error))
            return self._failure(request, 503, f"{error}.")
        except Exception as error:  # noqa: BLE001
            if not (request.get(RESPONSE_STARTED) and isinstance(error, ConnectionError)):  # then the browser has gone
                log.error("page_failed", route=_route(request), **without_message(error))  # noqa: TRY400
            return self._failure(request, 500, "This should not have happened; the log says more.")

    def _failure(self, request: web.Request, status: int, message: str) -> web.StreamResponse:
        """What has begun is cut off: a file that ends early must not look like a whole one."""
        if request.get(RESPONSE_STARTED):
            raise ConnectionResetError("an answer could not be brought to its end") from None
        if is_api(request):
            return web.json_response({"error": message}, status=status)
        return self._renderer.failure(request, status, message, request.get(ACCESS))

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._auth.answers_to(_host_name(request)):
            raise web.HTTPForbidden(text=WRONG_NAME[self._auth.is_open])
        if request.path in PUBLIC_PATHS or request.path.startswith("/static/"):
            return await handler(request)
        access = self._access(request)
        if access is None:
            return self._send_to_login(request)
        request[ACCESS] = access
        return await handler(request)

    def _access(self, request: web.Request) -> Access | None:
        if is_api(request) and (token := _token(request)) is not None:
            return self._auth.access_of_token(token)
        header = self._auth.proxy.header if self._auth.proxy else ""
        named = request.headers.getall(header, []) if header else []
        return self._auth.access(request.cookies.get(SESSION_COOKIE, ""), named, request.remote, time.time())

    def _send_to_login(self, request: web.Request) -> web.StreamResponse:
        if is_api(request) and _token(request) is not None:
            raise web.HTTPUnauthorized(text="That token is not known here.")
        if not self._auth.has_login:
            raise web.HTTPForbidden(text="Come through the proxy that knows who you are.")
        if is_api(request) or request.method not in SAFE_METHODS or request.path == "/events":
            raise web.HTTPUnauthorized(text="Sign in first.")
        raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs, safe='')}")

    @web.middleware
    async def _check_change(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method in SAFE_METHODS:
            return await handler(request)
        access = request.get(ACCESS)
        if not (access and access.is_token):
            await self._check_meant(request, access)
        if access and not access.may_edit and request.path not in VIEWER_PATHS:
            raise web.HTTPForbidden(text="You may look at everything here; changing it is for editors.")
        return await self._to_its_end(handler(request))

    async def _check_meant(self, request: web.Request, access: Access | None) -> None:
        if not _is_own_origin(request, is_https=is_https(request, self._auth)):
            raise web.HTTPForbidden(text="This did not come from one of the console's own pages.")
        if access and not self._auth.signer.is_csrf(await _csrf_of(request), access):
            raise web.HTTPForbidden(text="This page was too old to change anything: go back, reload, and try again.")

    async def _to_its_end(self, change: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        """A change that was begun is brought to its end, also when the browser that asked for it has gone."""
        going = asyncio.ensure_future(change)
        self._changes.add(going)
        going.add_done_callback(self._changes.discard)
        return await asyncio.shield(going)


async def _csrf_of(request: web.Request) -> str:
    if CSRF_HEADER in request.headers:
        return request.headers[CSRF_HEADER]
    if request.content_type not in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        return ""
    return str((await request.post()).get(CSRF_FIELD, ""))


def _is_own_origin(request: web.Request, *, is_https: bool) -> bool:
    """A browser says where a form was sent from; who says nothing has the token to show."""
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
    """Not the path: that has whom it was about."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else ""


def client_of(request: web.Request, auth: Authentication) -> str:
    """The address of who asks, behind the proxies that are ours."""
    forwarded_for = ",".join(request.headers.getall("X-Forwarded-For", []))
    return auth.trusted_proxies.client(request.remote, forwarded_for)


def is_https(request: web.Request, auth: Authentication) -> bool:
    """By its own connection, or by the word of a proxy of ours, whether or not that also says who somebody is."""
    if request.secure:
        return True
    return request.headers.get("X-Forwarded-Proto") == "https" and auth.trusted_proxies.has(request.remote)
