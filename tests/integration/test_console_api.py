"""The API against its own OpenAPI document: schemathesis makes up calls and holds the answers to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from services.console.api_operations import OPERATIONS
from services.console.openapi import document
from services.demo.servers import free_port
from shared.mongo import Database
from tests.conftest import Start
from tests.integration.test_console import JOSE, MARIA, known

SCHEMA = schemathesis.openapi.from_dict(document())
EXAMPLES = 30
TOKEN = "t" * 32


@pytest.fixture
async def console(leadstream: Start, database: Database) -> str:
    """Its address."""
    await known(database, MARIA, JOSE)
    port = free_port()
    settings = {"LEADSTREAM_CONSOLE_PASSWORD": "edit", "LEADSTREAM_CONSOLE_API_TOKENS": TOKEN}
    leadstream("console", LEADSTREAM_CONSOLE_PORT=str(port), **settings).wait_for("The console is at")
    return f"http://127.0.0.1:{port}"


def holding(operation: Any, mode: GenerationMode, console: str) -> Callable[[], None]:
    """Calls it in many ways. Raises what an answer has that the document does not."""

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def hold(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(base_url=console, headers={"Authorization": f"Bearer {TOKEN}"})

    return hold


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
async def test_every_answer_is_as_the_document_says(console: str, mode: GenerationMode) -> None:
    called = set[str]()
    for found in SCHEMA.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
            continue  # there is nothing that could be wrong of it
        called.add(operation.definition.raw["operationId"])
        await asyncio.to_thread(holding(operation, mode, console))
    taking = {each.name for each in OPERATIONS if mode is GenerationMode.POSITIVE or each.query or each.body}
    assert called == taking
