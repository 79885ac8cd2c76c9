"""A contact's pages of messages, from a real database."""

from __future__ import annotations

import pytest

from services.console.contacts import contact_reader
from services.console.contacts.contact_reader import load_message_page
from shared.contract.ids import ConversationKey, Platform
from shared.domain.messages import document, fold_all
from shared.store.mongo import Database
from tests.support.making import MARIA, reacted, said


async def test_pages_of_messages_go_back_in_time_and_skip_none(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_reader, "MESSAGES_PER_PAGE", 2)
    events = [
        *(said(f"{number}", number) for number in (3, 1, 5, 2, 4)),
        said("of another", 9, who=ConversationKey(Platform.MESSENGER, "371", "1")),
    ]
    await database.messages.insert_many(
        [document(each) for each in fold_all([*events, reacted("unknown", 9)]).values()]
    )

    async def page(number: int) -> tuple[list[str], int, int, int]:
        found = await load_message_page(database, str(MARIA), number)
        return [each.text for each in found.messages], found.found, found.page, found.pages

    assert await page(1) == (["4", "5"], 5, 1, 3)
    assert await page(2) == (["2", "3"], 5, 2, 3)
    assert await page(3) == (["1"], 5, 3, 3)
    assert await page(7) == (["1"], 5, 3, 3)
    assert (await load_message_page(database, "messenger:1:none", 1)).pages == 1
