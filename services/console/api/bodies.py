"""Reads and writes the bodies of the API. An invalid request is answered 400 with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

Value = TypeVar("Value", bound=BaseModel)


def json_of(value: BaseModel, status: int = 200) -> web.Response:
    return web.Response(text=value.model_dump_json(), content_type="application/json", status=status)


def from_query(model: type[Value], request: web.Request) -> Value:
    if repeated := [name for name in request.query if len(request.query.getall(name)) > 1]:
        raise web.HTTPBadRequest(text=f"given more than once: {', '.join(dict.fromkeys(repeated))}")
    return _validated(lambda: model.model_validate(dict(request.query)))


async def from_body(model: type[Value], request: web.Request) -> Value:
    body = await request.read()
    try:
        orjson.loads(body)
    except ValueError:
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    return _validated(lambda: model.model_validate_json(body))


def error_text(error: ValidationError) -> str:
    """Return each fault with its place, as in `stages.2.type: Input should be …`, without the invalid value."""
    faults = ((".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in error.errors())
    return "; ".join(f"{place}: {message}" if place else message for place, message in faults)


def _validated(read: Callable[[], Value]) -> Value:
    try:
        return read()
    except ValidationError as error:
        raise web.HTTPBadRequest(text=error_text(error)) from None
