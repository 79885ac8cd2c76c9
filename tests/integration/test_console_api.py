"""The API against its own OpenAPI document: schemathesis makes up calls and holds the answers to it."""

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
from tests.unit.console.rows import NOON
from tests.unit.console.test_checks import SHOP

SCHEMA = schemathesis.openapi.from_dict(document())
TOKEN = "t" * 32

KNOWN = ({"contact_id": MARIA.contact_id, "pipeline": "Sales", "account": SHOP.key}, {"contact_id": JOSE.contact_id})
"""What is there, beside what is made up."""


@pytest.fixture
async def console(leadstream: Start, database: Database) -> str:
    """Its address."""
    await known(database, MARIA, JOSE)
    await AccountStore(database).put(SHOP)
    port = free_port()
    settings = {"LEADSTREAM_CONSOLE_PASSWORD": "edit", "LEADSTREAM_CONSOLE_API_TOKENS": TOKEN}
    leadstream("console", LEADSTREAM_CONSOLE_PORT=str(port), **settings, **NO_PLATFORM).wait_for("The console is at")
    return f"http://127.0.0.1:{port}"


def holding(operation: Any, mode: GenerationMode, console: str) -> Callable[[], None]:
    """Calls it in many ways. Raises what an answer has that the document does not."""

    @settings(max_examples=settings().max_examples // 5, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), there=st.sampled_from(({}, *KNOWN)))
    def retry_until_stopped(case: schemathesis.Case[Any], there: dict[str, str]) -> None:
        case.path_parameters = {name: there.get(name, value) for name, value in (case.path_parameters or {}).items()}
        case.call_and_validate(base_url=console, headers={"Authorization": f"Bearer {TOKEN}"})

    return retry_until_stopped


@pytest.fixture
async def program(console: str) -> AsyncIterator[ClientSession]:
    """One with an editor's token."""
    async with ClientSession(console, headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        yield session


async def asked(program: ClientSession, method: str, path: str, **body: object) -> tuple[int, Any]:
    async with program.request(method, path, json=body or None) as answer:
        return answer.status, await answer.json() if answer.content_type == "application/json" else await answer.text()


async def test_many_contacts_are_changed_and_what_became_of_each_is_told(
    program: ClientSession, database: Database
) -> None:
    named = {"contact_ids": [MARIA.contact_id, "messenger:371:none"], "action": "edit", "edit": {"tags_added": ["vip"]}}
    _, told = await asked(program, "POST", "/api/contacts", **named)
    errors = {each["contact_id"]: each["error"] for each in told["outcomes"]}
    assert (told["done"], errors[MARIA.contact_id]) == (1, None)
    assert "no such contact" in errors["messenger:371:none"]
    _, exported = await asked(program, "GET", "/api/contacts.jsonl?tag=vip")
    assert [json.loads(line)["contact_id"] for line in exported.splitlines()] == [MARIA.contact_id]
    _, told = await asked(program, "POST", "/api/contacts", matching={"tag": "vip"}, action="analyse")
    assert told["done"] == 1
    assert await database.conversations.count_documents({"reanalyse_at": {"$exists": True}}) == 1


async def test_a_contact_is_given_back_and_forgotten(program: ClientSession) -> None:
    path = f"/api/contacts/{MARIA.contact_id}"
    _, named = await asked(program, "PATCH", path, name="Maria Cruz")
    _, given_back = await asked(program, "PATCH", path, given_back=["name"])
    assert (named["edited"], given_back["edited"]) == (["name"], [])
    assert (await asked(program, "DELETE", path))[0] == 204
    assert (await asked(program, "GET", path))[0] == 404


async def test_a_letter_is_listed_shown_and_stays_while_it_is_not_understood(
    program: ClientSession, stack: Stack
) -> None:
    letter = DeadLetter(reason=Reason.NOT_AN_EVENT, where="analyzer", parked_at=NOON, payload="odd")
    record = Record(stack.topics.dead_letters, letter.letter_id.encode(), dump_dead_letter(letter), [])
    async with open_producer(stack.kafka) as producer:
        await publish(producer, [record])
    _, listed = await asked(program, "GET", "/api/dead-letters?reason=not_an_event")
    assert [each["letter_id"] for each in listed["letters"]] == [letter.letter_id]
    assert (await asked(program, "GET", f"/api/dead-letters/{letter.letter_id}"))[1]["payload"] == "odd"
    told = await asked(program, "POST", "/api/dead-letters/replay", letter_ids=[letter.letter_id, "none"])
    assert told == (200, {"done": [], "stay": [letter.letter_id]})


async def test_an_account_is_added_once_and_kept_and_its_token_never_told(
    program: ClientSession, database: Database
) -> None:
    new = {"platform": "messenger", "account_id": "9", "name": "Mine", "token": "EAAB-secret"}
    status, added = await asked(program, "POST", "/api/accounts", **new)
    assert (status, added["health"]["problems"][0][:27]) == (201, "it could not be checked: th")
    assert (await asked(program, "POST", "/api/accounts", **new))[0] == 409
    _, kept = await asked(program, "PATCH", "/api/accounts/messenger:9", every="6h", pipeline="Sales")
    assert (kept["name"], kept["every_seconds"], kept["pipeline"]) == ("Mine", 21_600, "Sales")
    _, checked = await asked(program, "POST", f"/api/accounts/{SHOP.key}/check")
    assert not checked["health"]["is_well"]
    stored = await database.accounts.find_one({"_id": "messenger:9"})
    shown = str([added, kept, checked, await asked(program, "GET", "/api/accounts")])
    assert stored is not None
    assert not any(token in shown for token in ("EAAB", stored["encrypted_token"]))
    assert (await asked(program, "DELETE", "/api/accounts/messenger:9"))[0] == 204
    assert (await asked(program, "GET", "/api/accounts/messenger:9"))[0] == 404


async def test_a_pipeline_is_made_once_and_replaced_only_as_it_was_seen(program: ClientSession) -> None:
    stages = [{"name": "New", "type": "LEAD"}, {"name": "Hot", "type": "IN_PROGRESS", "range": {"low": 40, "high": 90}}]
    status, made = await asked(program, "POST", "/api/pipelines", name="Mine", stages=stages)
    assert (status, made["stages"][0]["range"]) == (201, {"low": 1, "high": 30})
    assert (await asked(program, "POST", "/api/pipelines", name="Mine", stages=stages))[0] == 409
    first = await asked(program, "PUT", "/api/pipelines/Mine", stages=stages[:1], edition=made["edition"])
    again = await asked(program, "PUT", "/api/pipelines/Mine", stages=stages, edition=made["edition"])
    assert (first[0], again[0]) == (200, 409)
    assert [each["name"] for each in (await asked(program, "GET", "/api/pipelines/Mine"))[1]["stages"]] == ["New"]


@pytest.mark.hypothesis
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
    assert called == {each.name for each in OPERATIONS if mode is GenerationMode.POSITIVE or each.query or each.body}
