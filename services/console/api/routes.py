"""`/api/…`: what the pages show and do, for programs, put together of its parts."""

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
        """By the names of the operations that it does."""


def api_routes(parts: Iterable[ApiPart]) -> list[web.RouteDef]:
    """One for each operation, and one for the document that describes them. KeyError for one that no part does."""
    handlers = {name: handler for part in parts for name, handler in part.handlers().items()}
    described = orjson.dumps(document())

    async def describe(_request: web.Request) -> web.Response:
        return web.Response(body=described, content_type="application/json")

    routes = [web.route(each.method, each.path, handlers[each.name]) for each in OPERATIONS]
    return [web.get("/api/openapi.json", describe), *routes]
