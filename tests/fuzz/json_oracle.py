"""JSON as the standard library reads it, brought to what the receiver promises of it."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Never

UNREADABLE: Any = object()
"""For what is no JSON, or has a number that is none here (NaN, an infinity)."""
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")


def read_json(body: bytes) -> Any:
    """Integers beyond 64 bits are floats, and half a surrogate pair is U+FFFD."""
    try:
        return _whole(json.loads(body, parse_constant=_refuse, parse_int=_integer, parse_float=_finite))
    except (ValueError, RecursionError):
        return UNREADABLE


def depth_of(value: Any) -> int:
    """How many lists and objects stand in one another; without recursion, which the deepest would not survive."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        value, level = waiting.pop()
        if isinstance(value, dict | list):
            deepest = max(deepest, level)
            waiting += [(each, level + 1) for each in (value.values() if isinstance(value, dict) else value)]
    return deepest


def contains(whole: Any, part: Any) -> bool:
    """Whether all that `part` says is in `whole`, which may have more keys."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(k in whole and contains(whole[k], v) for k, v in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(contains, whole, part))
    return type(whole) is type(part) and bool(whole == part)


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub(_character, value)
    if isinstance(value, dict):
        return {_SURROGATES.sub(_character, key): _whole(each) for key, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value


def _character(match: re.Match[str]) -> str:
    halves = match[0]
    if len(halves) == 1:
        return "\ufffd"
    return chr(0x10000 + ((ord(halves[0]) - 0xD800) << 10) + ord(halves[1]) - 0xDC00)


def _integer(text: str) -> int | float:
    number = int(text) if len(text) < 30 else 2**64
    return number if -(2**63) <= number < 2**64 else _finite(text)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("beyond a double")
    return number


def _refuse(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")
