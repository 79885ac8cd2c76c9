"""The page of one contact."""

from __future__ import annotations

from typing import cast

import pytest
from aiohttp.test_utils import TestClient, TestServer

from services.console import contact_pages
from services.console.contact_pages import ContactPages
from services.console.contact_reading import Whole
from services.console.transcript import Said
from shared.mongo import Database
from tests.unit.console.rows import NOON, contact, directory
from tests.unit.console.test_guard import app_of

COUNT = contact_pages.NEWEST + 2
MESSAGES = tuple(Said(f"m{number}", NOON, True, f"said {number}.", (), (), False, False) for number in range(COUNT))


@pytest.mark.parametrize(("query", "shown"), [("", MESSAGES[2:]), ("?all=yes", MESSAGES)])
async def test_of_very_many_messages_the_newest_are_shown_and_all_when_they_are_asked_for(
    query: str, shown: tuple[Said, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole_of(*_asked: object) -> Whole:
        return Whole(contact("1"), (), (), MESSAGES, None, None, is_due=False)

    monkeypatch.setattr(contact_pages, "whole_of", whole_of)
    app = app_of(lambda renderer: ContactPages(directory(), cast(Database, None), renderer))
    async with TestClient(TestServer(app)) as client, client.get(f"/contacts/messenger:371:1{query}") as answer:
        text = await answer.text()
    assert [each.message_id for each in MESSAGES if f">{each.text}<" in text] == [each.message_id for each in shown]
    assert ("2 earlier ones" in text) == (len(shown) < COUNT)
