"""The API as a program meets it, over what is in memory."""

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
from tests.unit.console.rows import NOON, contact, contact_index
from tests.unit.console.test_guard import TOKENS, app_of

LETTER = DeadLetter(reason=Reason.NOT_AN_EVENT, where="analyzer", parked_at=NOON, payload="what a customer wrote")


class Changes(ContactChanges):
    def __init__(self) -> None:
        self.done = list[str]()

    async def edit(self, contact_id: str, edit: ContactEdit) -> Contact:
        if contact_id == "messenger:371:gone":
            raise NoContactError(contact_id)
        self.done.append(contact_id)
        return contact("1")


class Box(DeadLetterService):
    def __init__(self) -> None:
        pass

    async def one(self, letter_id: str) -> DeadLetter:
        return LETTER


async def asked(routes: list[web.RouteDef], role: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
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
    return await asked(routes, "editor", "POST", "/api/contacts", {"action": "edit", **body})


async def test_who_is_named_and_who_is_found_is_changed_once() -> None:
    changes = Changes()
    ids = ["messenger:371:0", "messenger:371:gone"]
    _, told = await changed(changes, 2, contact_ids=ids, matching={"tag": "vip"})
    assert sorted(changes.done) == ["messenger:371:0", "messenger:371:1"]
    assert (told["done"], [each["contact_id"] for each in told["outcomes"] if each["error"]]) == (2, ids[1:])


async def test_nobody_is_changed_who_is_neither_named_nor_looked_for() -> None:
    changes = Changes()
    assert await changed(changes, 2) == (200, {"done": 0, "outcomes": []})
    assert not changes.done


async def test_a_day_that_there_is_not_finds_nobody_to_be_changed() -> None:
    changes = Changes()
    status, told = await changed(changes, 2, matching={"since": "2026-02-30"})
    assert (status, "no such day" in told["error"], changes.done) == (400, True, [])


async def test_of_more_than_may_be_changed_at_once_none_is() -> None:
    changes = Changes()
    status, _ = await changed(changes, MAX_BULK_CONTACTS + 1, matching={})
    assert (status, changes.done) == (409, [])


async def test_what_is_in_a_letter_is_told_to_editors_alone() -> None:
    routes = [web.get("/api/dead-letters/{letter_id}", DeadLetterApi(Box()).one)]
    assert (await asked(routes, "editor", "GET", "/api/dead-letters/x"))[1]["payload"] == LETTER.payload
    assert (await asked(routes, "viewer", "GET", "/api/dead-letters/x"))[0] == 403


def test_a_name_is_as_its_form_would_save_it_again() -> None:
    assert StageRequest(name=" Hot \n lead ", type=StageType.LEAD).stage().name == "Hot lead"
    with pytest.raises(ValidationError):
        StageRequest(name=" ", type=StageType.LEAD)
