"""Parses a raw body, without rejecting a whole batch for one invalid escape. Pure."""

from __future__ import annotations

import json
from typing import Any, Never

import orjson

from shared.contract.failures import Reason, RejectedError

MAX_DEPTH = 254
"""The most levels that orjson can write. A body with at most as many brackets needs no check."""


def parse_body(body: bytes) -> Any:
    """Return the JSON value. RejectedError with `not_json`, or `too_deep` for more levels than can be serialised (254).

    Half of a surrogate pair, which a text cut inside an emoji contains, becomes U+FFFD: the body is parsed a second,
    slower time instead of rejecting the batch.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = _parse_leniently(body)
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _require_writable(parsed)
    return parsed


def _require_writable(parsed: Any) -> None:
    try:
        orjson.dumps(parsed)
    except TypeError:
        raise RejectedError(Reason.TOO_DEEP) from None


def _parse_leniently(body: bytes) -> Any:
    try:
        parsed = json.loads(body, parse_constant=_refuse_constant)
        return orjson.loads(_whole_characters(json.dumps(parsed, ensure_ascii=False)))
    except RecursionError:
        raise RejectedError(Reason.TOO_DEEP) from None
    except ValueError:
        raise RejectedError(Reason.NOT_JSON) from None


def _whole_characters(text: str) -> bytes:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")
