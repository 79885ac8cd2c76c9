"""The API over HTTP, with fakes in memory."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr, ValidationError

from services.console.api.requests import StageRequest
from services.console.contacts.api import ContactApi
from services.console.contacts.form import MAX_BULK_CONTACTS
from services.console.contacts.service import ContactChanges
from services.console.dead_letters.api import DeadLetterApi
from services.console.dead_letters.service import DeadLetterService
from shared.contract.contacts import Contact, StageType
from shared.contract.dead_letters import DeadLetter
from shared.contract.failures import Reason
from shared.domain.contact_edits import ContactEdit
from shared.store.contact_editing import NoContactError
from shared.store.mongo import Database
from tests.unit.console.console_app import TOKENS, app_of
from tests.unit.console.rows import NOON, contact, contact_index

LETTER = DeadLetter(reason=Reason.NOT_AN_EVENT, where="analyzer", parked_at=NOON, payload="what a customer wrote")


class Changes(ContactChanges):
    def __init__(self) -> None:
        self.done = list[str]()

    async def edit(self, contact_id: str, edit: ContactEdit) -> Contact:
        if contact_id == "messenger:371:gone":
            raise NoContactError(contact_id)
        self.done.append(contact_id)
        return contact("1")


class FakeDeadLetters(DeadLetterService):
    def __init__(self) -> None:
        pass

    async def find(self, letter_id: str) -> DeadLetter:
        return LETTER


async def call(routes: list[web.RouteDef], role: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {role[0] * 32}"}
    app = app_of(routes=routes, console_password=SecretStr("edit"), **TOKENS)
    async with (
        TestClient(TestServer(app)) as client,
        client.request(method, path, json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def changed(changes: Changes, count: int, **body: object) -> tuple[int, Any]:
    known = contact_index(*(contact(str(number), "Maria", tags=("vip",)) for number in range(count)))
    api = ContactApi(known, cast(Database, None), changes)
    routes = [web.post("/api/contacts", api.change)]
    return await call(routes, "editor", "POST", "/api/contacts", {"action": "edit", **body})


async def test_a_contact_that_is_both_listed_and_matching_is_changed_once() -> None:
    changes = Changes()
    ids = ["messenger:371:0", "messenger:371:gone"]
    _, answer = await changed(changes, 2, contact_ids=ids, matching={"tag": "vip"})
    assert sorted(changes.done) == ["messenger:371:0", "messenger:371:1"]
    assert (answer["done"], [each["contact_id"] for each in answer["outcomes"] if each["error"]]) == (2, ids[1:])


async def test_without_ids_and_filter_no_contact_is_changed() -> None:
    changes = Changes()
    assert await changed(changes, 2) == (200, {"done": 0, "outcomes": []})
    assert not changes.done


async def test_a_day_that_does_not_exist_is_refused() -> None:
    changes = Changes()
    status, answer = await changed(changes, 2, matching={"since": "2026-02-30"})
    assert (status, "no such day" in answer["error"], changes.done) == (400, True, [])


async def test_more_contacts_than_allowed_at_once_are_all_refused() -> None:
    changes = Changes()
    status, _ = await changed(changes, MAX_BULK_CONTACTS + 1, matching={})
    assert (status, changes.done) == (409, [])


async def test_the_payload_of_a_dead_letter_is_shown_to_editors_only() -> None:
    routes = [web.get("/api/dead-letters/{letter_id}", DeadLetterApi(FakeDeadLetters()).show)]
    assert (await call(routes, "editor", "GET", "/api/dead-letters/x"))[1]["payload"] == LETTER.payload
    assert (await call(routes, "viewer", "GET", "/api/dead-letters/x"))[0] == 403


def test_a_name_is_normalised_as_by_its_form() -> None:
    assert StageRequest(name=" Hot \n lead ", type=StageType.LEAD).stage().name == "Hot lead"
    with pytest.raises(ValidationError):
        StageRequest(name=" ", type=StageType.LEAD)


@pytest.mark.parametrize("blank", [" ", "\x1c", "\x1f", "\x85", "\u3000"])
def test_a_name_of_spaces_alone_is_refused_by_the_schema(blank: str) -> None:
    with pytest.raises(ValidationError) as refused:
        StageRequest.model_validate({"name": blank, "type": "LEAD"})
    assert refused.value.errors()[0]["type"] == "string_pattern_mismatch"
