"""The API against its own OpenAPI document: schemathesis generates calls and validates the responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import schemathesis
from aiohttp import ClientSession
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from services.console.api.openapi import document
from services.console.api.operations import OPERATIONS
from services.demo.servers import free_port
from shared.bus.producer import Record, open_producer, publish
from shared.contract.dead_letters import DeadLetter, dump_dead_letter
from shared.contract.failures import Reason
from shared.store.accounts import AccountStore
from shared.store.mongo import Database
from tests.conftest import Stack, Start
from tests.integration.test_console import JOSE, MARIA, NO_PLATFORM, known
from tests.unit.console.accounts.test_account_checks import SHOP
from tests.unit.console.rows import NOON

SCHEMA = schemathesis.openapi.from_dict(document())
TOKEN = "t" * 32

KNOWN = ({"contact_id": MARIA.contact_id, "pipeline": "Sales", "account": SHOP.key}, {"contact_id": JOSE.contact_id})
"""Path parameters that exist, beside generated ones."""


@pytest.fixture
async def console(leadstream: Start, database: Database) -> str:
    """Start a console and return its address."""
    await known(database, MARIA, JOSE)
    await AccountStore(database).put(SHOP)
    port = free_port()
    settings = {"LEADSTREAM_CONSOLE_PASSWORD": "edit", "LEADSTREAM_CONSOLE_API_TOKENS": TOKEN}
    leadstream("console", LEADSTREAM_CONSOLE_PORT=str(port), **settings, **NO_PLATFORM).wait_for("The console is at")
    return f"http://127.0.0.1:{port}"


def validating(operation: Any, mode: GenerationMode, console: str) -> Callable[[], None]:
    """Return a test that calls the operation with generated requests and validates each response."""

    @settings(max_examples=settings().max_examples // 5, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), there=st.sampled_from(({}, *KNOWN)))
    def call_operation(case: schemathesis.Case[Any], there: dict[str, str]) -> None:
        case.path_parameters = {name: there.get(name, value) for name, value in (case.path_parameters or {}).items()}
        case.call_and_validate(base_url=console, headers={"Authorization": f"Bearer {TOKEN}"})

    return call_operation


@pytest.fixture
async def program(console: str) -> AsyncIterator[ClientSession]:
    """A client with an editor's token."""
    async with ClientSession(console, headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        yield session


async def call(program: ClientSession, method: str, path: str, **body: object) -> tuple[int, Any]:
    async with program.request(method, path, json=body or None) as answer:
        return answer.status, await answer.json() if answer.content_type == "application/json" else await answer.text()


async def test_many_contacts_are_changed_and_the_result_of_each_is_returned(
    program: ClientSession, database: Database
) -> None:
    named = {"contact_ids": [MARIA.contact_id, "messenger:371:none"], "action": "edit", "edit": {"tags_added": ["vip"]}}
    _, changed = await call(program, "POST", "/api/contacts", **named)
    errors = {each["contact_id"]: each["error"] for each in changed["outcomes"]}
    assert (changed["done"], errors[MARIA.contact_id]) == (1, None)
    assert "no longer exists" in errors["messenger:371:none"]
    _, exported = await call(program, "GET", "/api/contacts.jsonl?tag=vip")
    assert [json.loads(line)["contact_id"] for line in exported.splitlines()] == [MARIA.contact_id]
    _, changed = await call(program, "POST", "/api/contacts", matching={"tag": "vip"}, action="analyse")
    assert changed["done"] == 1
    assert await database.conversations.count_documents({"reanalyse_at": {"$exists": True}}) == 1


async def test_a_contacts_field_is_given_back_and_the_contact_erased(program: ClientSession) -> None:
    path = f"/api/contacts/{MARIA.contact_id}"
    _, named = await call(program, "PATCH", path, name="Maria Cruz")
    _, given_back = await call(program, "PATCH", path, given_back=["name"])
    assert (named["edited"], given_back["edited"]) == (["name"], [])
    assert (await call(program, "DELETE", path))[0] == 204
    assert (await call(program, "GET", path))[0] == 404


async def test_a_dead_letter_that_is_still_not_understood_stays_parked(program: ClientSession, stack: Stack) -> None:
    letter = DeadLetter(reason=Reason.NOT_AN_EVENT, where="analyzer", parked_at=NOON, payload="odd")
    record = Record(stack.topics.dead_letters, letter.letter_id.encode(), dump_dead_letter(letter), [])
    async with open_producer(stack.kafka) as producer:
        await publish(producer, [record])
    _, listed = await call(program, "GET", "/api/dead-letters?reason=not_an_event")
    assert [each["letter_id"] for each in listed["letters"]] == [letter.letter_id]
    assert (await call(program, "GET", f"/api/dead-letters/{letter.letter_id}"))[1]["payload"] == "odd"
    replayed = await call(program, "POST", "/api/dead-letters/replay", letter_ids=[letter.letter_id, "none"])
    assert replayed == (200, {"done": [], "stay": [letter.letter_id]})


async def test_an_account_is_added_once_and_its_token_never_returned(
    program: ClientSession, database: Database
) -> None:
    new = {"platform": "messenger", "account_id": "9", "name": "Mine", "token": "EAAB-secret"}
    status, added = await call(program, "POST", "/api/accounts", **new)
    assert (status, added["health"]["problems"][0][:27]) == (201, "it could not be checked: th")
    assert (await call(program, "POST", "/api/accounts", **new))[0] == 409
    _, kept = await call(
        program, "PATCH", "/api/accounts/messenger:9", every="6h", pipeline="Sales", timezone="Asia/Manila"
    )
    assert (added["timezone"], kept["timezone"]) == ("UTC", "Asia/Manila")
    assert (kept["name"], kept["every_seconds"], kept["pipeline"]) == ("Mine", 21_600, "Sales")
    assert (await call(program, "PATCH", "/api/accounts/messenger:9", timezone="Berlin"))[0] == 409
    _, checked = await call(program, "POST", f"/api/accounts/{SHOP.key}/check")
    assert not checked["health"]["is_well"]
    stored = await database.accounts.find_one({"_id": "messenger:9"})
    shown = str([added, kept, checked, await call(program, "GET", "/api/accounts")])
    assert stored is not None
    assert not any(token in shown for token in ("EAAB", stored["encrypted_token"]))
    assert (await call(program, "DELETE", "/api/accounts/messenger:9"))[0] == 204
    assert (await call(program, "GET", "/api/accounts/messenger:9"))[0] == 404


async def test_a_pipeline_is_added_once_and_replaced_only_in_the_seen_edition(program: ClientSession) -> None:
    stages = [{"name": "New", "type": "LEAD"}, {"name": "Hot", "type": "IN_PROGRESS", "range": {"low": 40, "high": 90}}]
    status, made = await call(program, "POST", "/api/pipelines", name="Mine", stages=stages)
    assert (status, made["stages"][0]["range"]) == (201, {"low": 1, "high": 30})
    assert (await call(program, "POST", "/api/pipelines", name="Mine", stages=stages))[0] == 409
    first = await call(program, "PUT", "/api/pipelines/Mine", stages=stages[:1], edition=made["edition"])
    again = await call(program, "PUT", "/api/pipelines/Mine", stages=stages, edition=made["edition"])
    assert (first[0], again[0]) == (200, 409)
    assert [each["name"] for each in (await call(program, "GET", "/api/pipelines/Mine"))[1]["stages"]] == ["New"]


@pytest.mark.hypothesis
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
async def test_every_response_matches_the_openapi_document(console: str, mode: GenerationMode) -> None:
    called = set[str]()
    for found in SCHEMA.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
            continue  # nothing in it could be invalid
        called.add(operation.definition.raw["operationId"])
        await asyncio.to_thread(validating(operation, mode, console))
    assert called == {each.name for each in OPERATIONS if mode is GenerationMode.POSITIVE or each.query or each.body}
