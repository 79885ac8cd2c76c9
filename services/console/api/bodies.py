"""What comes into the API and goes out of it. What is asked for wrongly is told as 400, with what is wrong."""

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
    told = {name: request.query.getall(name) for name in request.query}
    if repeated := [name for name, values in told.items() if len(values) > 1]:
        raise web.HTTPBadRequest(text=f"given more than once: {', '.join(repeated)}")
    return _checked(lambda: model.model_validate({name: values[0] for name, values in told.items()}))


async def from_body(model: type[Value], request: web.Request) -> Value:
    body = await request.read()
    try:
        orjson.loads(body)
    except ValueError:
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    return _checked(lambda: model.model_validate_json(body))


def faults(error: ValidationError) -> str:
    """What a model does not take, without what it was."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}".removeprefix(": ") for each in error.errors())


def _checked(read: Callable[[], Value]) -> Value:
    try:
        return read()
    except ValidationError as error:
        raise web.HTTPBadRequest(text=faults(error)) from None
