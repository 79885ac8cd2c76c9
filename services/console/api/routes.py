"""The routes of `/api/…`: one for each operation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from services.console.api.openapi import document
from services.console.api.operations import OPERATIONS


class ApiPart(Protocol):
    def handlers(self) -> dict[str, Handler]:
        """Return the handlers of its operations by their names."""


def api_routes(parts: Iterable[ApiPart]) -> list[web.RouteDef]:
    """Return a route for each operation and one for the OpenAPI document. KeyError for an operation without handler."""
    handlers = {name: handler for part in parts for name, handler in part.handlers().items()}
    body = orjson.dumps(document())

    async def describe(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    routes = [web.route(each.method, each.path, handlers[each.name]) for each in OPERATIONS]
    return [web.get("/api/openapi.json", describe), *routes]
