"""The page of one contact."""

from __future__ import annotations

import re
from typing import cast

import pytest
from aiohttp.test_utils import TestClient, TestServer

from services.console.contacts import pages as contact_pages
from services.console.contacts.contact_reader import ContactDetails, MessagePage
from services.console.contacts.message_list import DisplayedMessage
from services.console.contacts.pages import ContactPages
from shared.contract.contacts import AnalysisSource, Contact, StageRef, StageType
from shared.store.mongo import Database
from tests.unit.console.console_app import app_of
from tests.unit.console.rows import NOON, contact, contact_index

SAID = tuple(DisplayedMessage(f"m{number}", NOON, True, f"said {number}.", (), (), False, False) for number in range(2))


@pytest.mark.parametrize(
    ("query", "page", "links"),
    [
        ("", 1, ["?page=2"]),
        ("?page=2", 2, ["?page=3", "?page=1"]),
        ("?page=3", 3, ["?page=2"]),
        ("?page=x", 1, ["?page=2"]),
    ],
)
async def test_a_long_conversation_is_shown_by_pages_that_link_to_each_other(
    query: str, page: int, links: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    async def load_contact_details(_database: Database, _contact_id: str, page: int) -> ContactDetails:
        asked.append(page)
        return ContactDetails(contact("1"), (), (), MessagePage(SAID, 2001, page, 3), None, None, is_due=False)

    monkeypatch.setattr(contact_pages, "load_contact_details", load_contact_details)
    app = app_of(lambda renderer: ContactPages(contact_index(), cast(Database, None), renderer))
    async with TestClient(TestServer(app)) as client, client.get(f"/contacts/messenger:371:1{query}") as answer:
        text = await answer.text()
    assert asked == [page]
    assert re.findall(r'href="/contacts/messenger:371:1(\?page=\d+)"', text) == links
    assert "2,001 messages" in text
    assert [each.message_id for each in SAID if f">{each.text}<" in text] == ["m0", "m1"]


async def page_of(shown: Contact, monkeypatch: pytest.MonkeyPatch) -> str:
    async def load_contact_details(_database: Database, _contact_id: str, page: int) -> ContactDetails:
        return ContactDetails(shown, (), (), MessagePage(SAID, 2, page, 1), None, None, is_due=False)

    monkeypatch.setattr(contact_pages, "load_contact_details", load_contact_details)
    app = app_of(lambda renderer: ContactPages(contact_index(), cast(Database, None), renderer))
    async with TestClient(TestServer(app)) as client, client.get("/contacts/messenger:371:1") as answer:
        return await answer.text()


@pytest.mark.parametrize("source", AnalysisSource)
async def test_a_deal_that_a_fallback_closed_is_marked_as_provisional(
    source: AnalysisSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = StageRef(pipeline="Sales", name="Closed Won", type=StageType.WON, set_by=source)
    text = await page_of(contact("1", score=90).model_copy(update={"stage": stage}), monkeypatch)
    assert "Closed Won" in text
    assert (">provisional</span>" in text) is (source is AnalysisSource.FALLBACK)


@pytest.mark.parametrize(("evidence", "marked"), [(("m1",), 1), (("m0", "m1"), 2), ((), 0), (None, 0)])
async def test_the_messages_that_weighed_most_are_marked(
    evidence: tuple[str, ...] | None, marked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = contact("1", score=90)
    assert scored.analysis
    analysis = scored.analysis.model_copy(update={"evidence": evidence})
    text = await page_of(scored.model_copy(update={"analysis": analysis}), monkeypatch)
    assert text.count("weighed most in the score") == marked


@pytest.mark.parametrize(("tags", "is_offered"), [((), True), (("vip",), True), (("Not a lead",), False)])
async def test_an_editor_can_say_once_that_this_is_no_lead(
    tags: tuple[str, ...], is_offered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = await page_of(contact("1", tags=tags), monkeypatch)
    assert ('name="not_a_lead"' in page) is is_offered
