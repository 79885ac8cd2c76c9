"""Raw bytes to JSON, without letting one odd escape cost a whole batch. Pure."""

from __future__ import annotations

import json
from typing import Any, Never

import orjson

from shared.contract.failures import Reason, RejectedError

MAX_DEPTH = 254
"""Levels that orjson can write; what has fewer brackets than that is no deeper."""


def parse_body(body: bytes) -> Any:
    """RejectedError with `not_json`, or `too_deep` for more levels than can be written again (254).

    A half of a surrogate pair, as a text cut in the middle of an emoji has, is no reason to lose the batch it is
    in: such a body takes the slow way and has U+FFFD in that place.
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
