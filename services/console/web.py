"""The console's web application: every page is behind the authentication middleware."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from aiohttp import web

from services.console.auth.auth_middleware import AuthMiddleware
from shared.runtime.operations import live

ASSETS = Path(str(resources.files("services.console"))) / "static"
MAX_FORM_BYTES = 512 * 1024
"""The largest form; the largest real one is a tenth of it."""


def create_app(middleware: AuthMiddleware, routes: Iterable[web.AbstractRouteDef]) -> web.Application:
    app = web.Application(middlewares=middleware.middlewares, client_max_size=MAX_FORM_BYTES)
    app.on_response_prepare.append(middleware.add_headers)
    app.add_routes(routes)
    app.add_routes([web.get("/live", live), web.get("/static/{name}", _asset)])
    return app


async def _asset(request: web.Request) -> web.StreamResponse:
    """Serve a file by its name, never by a path. Browsers cache it and revalidate it each time."""
    path = ASSETS / request.match_info["name"]
    if path.parent != ASSETS or not path.is_file():
        raise web.HTTPNotFound
    return web.FileResponse(path, headers={"Cache-Control": "no-cache"})
