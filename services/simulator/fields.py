"""The `fields` parameter: `id,messages.limit(5){id,message}`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.simulator.errors import RefusedError, unknown_field

_HEAD = re.compile(r"(?P<name>\w+)(?P<modifiers>(?:\.\w+\([^()]*\))*)$")
_MODIFIER = re.compile(r"\.(\w+)\(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    modifiers: dict[str, str]
    inner: tuple[Field, ...]


def parse_fields(text: str) -> tuple[Field, ...]:
    """RefusedError (code 100) when `text` is not well formed."""
    return tuple(_parse(part) for part in _split(text) if part)


def _parse(part: str) -> Field:
    head, brace, rest = part.partition("{")
    match = _HEAD.match(head.strip())
    if match is None or bool(brace) != part.endswith("}"):
        raise RefusedError(100, "(#100) Syntax error in the fields parameter")
    modifiers = dict(_MODIFIER.findall(match["modifiers"]))
    return Field(match["name"], modifiers, parse_fields(rest[:-1]) if brace else ())


def _split(text: str) -> list[str]:
    """At the commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "{(") - (letter in "})")
        if letter == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, text[start:].strip()]


def names(fields: tuple[Field, ...], known: frozenset[str]) -> set[str]:
    """The names asked for. RefusedError for one that the node does not have."""
    for field in fields:
        if field.name not in known:
            raise unknown_field(field.name)
    return {field.name for field in fields}
