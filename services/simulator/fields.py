"""Parses the `fields` parameter, such as `id,messages.limit(5){id,from{name}}`, and projects nodes. Pure.

Source: developers.facebook.com/docs/graph-api/guides/field-expansion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.simulator.errors import refused, unknown_field

Schema = Mapping[str, Any]
"""The fields of a node, each with the schema of its value, or None for a plain value."""

_HEAD = re.compile(r"(?P<name>\w+)(?P<modifiers>(?:\.\w+\([^()]*\))*)")
_MODIFIER = re.compile(r"\.(\w+)\(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class RequestedField:
    """A field of the parameter. `inner_text` is the text in its braces, `inner` the same parsed."""

    name: str
    modifiers: dict[str, str]
    inner_text: str
    inner: tuple[RequestedField, ...]


def parse_fields(text: str, schema: Schema) -> tuple[RequestedField, ...]:
    """Return the fields in `text`. RefusedError for a syntax error (2500) or a field not in the schema (100)."""
    return tuple(_parse(part, schema) for part in _split(text) if part)


def project(
    node: Mapping[str, Any], fields: tuple[RequestedField, ...], default: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the node's id and requested fields, else the `default` ones, without those that are None."""
    wanted: dict[str, tuple[RequestedField, ...]] = (
        dict.fromkeys(default, ()) if not fields else {field.name: field.inner for field in fields}
    )
    found: dict[str, Any] = {}
    for name, inner in wanted.items():
        if node.get(name) is not None:
            found[name] = _inside(node[name], inner)
    return found | ({"id": node["id"]} if "id" in node else {})


def _inside(value: Any, inner: tuple[RequestedField, ...]) -> Any:
    if not inner or not isinstance(value, dict):
        return value
    if "data" in value:
        return {**value, "data": [project(item, inner) for item in value["data"]]}
    return project(value, inner)


def _parse(part: str, schema: Schema) -> RequestedField:
    head, brace, rest = part.partition("{")
    match = _HEAD.fullmatch(head.strip())
    if match is None or bool(brace) != part.endswith("}"):
        raise refused("bad_fields")
    name, inner_text = match["name"], rest[:-1]
    if name not in schema:
        raise unknown_field(name)
    inner = parse_fields(inner_text, schema[name] or {}) if brace else ()
    return RequestedField(name, dict(_MODIFIER.findall(match["modifiers"])), inner_text, inner)


def _split(text: str) -> list[str]:
    """Split at commas outside of brackets."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "{(") - (letter in "})")
        if depth < 0:
            raise refused("bad_fields")
        if letter == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, text[start:].strip()]
