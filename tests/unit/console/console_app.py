"""The console's application with chosen pages, for tests over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from aiohttp import web
from aiohttp.test_utils import TestClient

from services.console.auth.auth_middleware import AuthMiddleware
from services.console.auth.authentication import authentication_of
from services.console.auth.login import Login
from services.console.view.rendering import Renderer, environment
from services.console.web import create_app
from shared.runtime.settings import ConsoleSettings
from tests.unit.console.rows import NOON

Client = TestClient[web.Request, web.Application]
TOKENS = {"console_api_tokens": "e" * 32, "console_viewer_api_tokens": "v" * 32}


class Pages(Protocol):
    def routes(self) -> list[web.RouteDef]: ...


def app_of(
    *pages: Callable[[Renderer], Pages], routes: Sequence[web.RouteDef] = (), **settings: object
) -> web.Application:
    """Return the application that serves these pages behind the authentication middleware."""
    auth = authentication_of(ConsoleSettings.model_validate(settings))
    renderer = Renderer(auth.signer, lambda: NOON, environment(lambda: NOON))

    made = [*routes, *(route for each in pages for route in each(renderer).routes())]
    made += Login(auth, renderer).routes()
    return create_app(AuthMiddleware(auth, renderer), made)
