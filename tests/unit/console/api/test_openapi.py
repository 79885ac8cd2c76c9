"""The OpenAPI document."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from services.console.api.openapi import COMPONENT_NAMES, document

DOCUMENT = document()
OPERATIONS = [
    pytest.param(method, operation, id=f"{method} {path}")
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def test_every_referenced_schema_is_defined() -> None:
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))
    assert referred <= DOCUMENT["components"]["schemas"].keys()


def test_a_renamed_class_keeps_its_component_name() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert set(COMPONENT_NAMES.values()) <= schemas.keys()
    assert not COMPONENT_NAMES.keys() & schemas.keys()


@pytest.mark.parametrize(("method", "operation"), OPERATIONS)
def test_every_operation_declares_its_security_and_refusals(method: str, operation: dict[str, Any]) -> None:
    assert {"401", "403"} <= operation["responses"].keys()
    ways = [set(way) for way in operation["security"]]
    assert ways == [{"token"}, {"session"} if method == "get" else {"session", "csrf"}]
    assert all(way <= DOCUMENT["components"]["securitySchemes"].keys() for way in ways)
