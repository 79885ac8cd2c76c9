"""JSON as the standard library parses it, converted to what the receiver promises."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Never

UNREADABLE: Any = object()
"""The result for invalid JSON, and for JSON with NaN or an infinity."""
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")


def read_json(body: bytes) -> Any:
    """Parse JSON with integers beyond 64 bits as floats, and half a surrogate pair as U+FFFD."""
    try:
        return _whole(json.loads(body, parse_constant=_refuse, parse_int=_integer, parse_float=_finite))
    except (ValueError, RecursionError):
        return UNREADABLE


def depth_of(value: Any) -> int:
    """Return the number of nested lists and objects, without recursion, which the deepest would exceed."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        value, level = waiting.pop()
        if isinstance(value, dict | list):
            deepest = max(deepest, level)
            waiting += [(each, level + 1) for each in (value.values() if isinstance(value, dict) else value)]
    return deepest


def contains(whole: Any, part: Any) -> bool:
    """Return whether `whole` has every value of `part`; it may have more keys."""
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
