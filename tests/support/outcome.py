"""Conversations as they can happen, and what must have become of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from shared.contacts import Contact, ContactUpdated, load_contact_updated
from shared.conversations import StoredMessage, from_document
from shared.events import Attachment, Event, Source
from shared.ids import ConversationKey, Platform
from shared.kafka import read_all
from shared.mongo import Database
from tests.conftest import Stack
from tests.support.making import answered, reacted, said, unsent
from tests.support.waiting import eventually


def customers(number: int) -> list[ConversationKey]:
    platforms = (Platform.MESSENGER, Platform.INSTAGRAM)
    return [ConversationKey(platforms[n % 2], "371", f"{n:06}") for n in range(number)]


def story(who: ConversationKey) -> list[Event]:
    """Webhook and backfill of one conversation, with all that can happen to a message."""
    mid = [f"m_{who.customer_id}_{n}" for n in range(6)]
    history: dict[str, Any] = {"source": Source.BACKFILL, "run_id": "run", "who": who}
    return [
        said("Hi, how much po?", 10, mid=mid[1], who=who),
        said("Hi, how much po?", 10, mid=mid[1], sender_name="Maria Santos", **history),
        answered("500 each", 20.5, mid=mid[2], who=who),
        answered("500 each", 20, mid=mid[2], **history),
        reacted(mid[2], 25, who=who),
        said(None, 30, mid=mid[3], who=who, attachments=(Attachment(type="image"),)),
        said("my card is 4111", 40, mid=mid[4], who=who),
        unsent(mid[4], 50, who=who),
        said("Deal, I will take two", 60, mid=mid[5], who=who),
    ]


async def contacts(database: Database) -> dict[str, Contact]:
    return {each["_id"]: Contact.model_validate(each) async for each in database.contacts.find()}


async def settled(database: Database, expected: int) -> dict[str, Contact]:
    """Every contact, when there are as many as expected, nothing is due any more and all is published."""

    async def read() -> tuple[int, int, int]:
        due = await database.conversations.count_documents({"due_at": {"$exists": True}})
        unpublished = await database.contacts.count_documents({"outbox": {"$ne": []}})
        return await database.contacts.count_documents({}), due, unpublished

    await eventually(read, lambda counts: counts == (expected, 0, 0))
    return await contacts(database)


async def published(stack: Stack) -> list[ContactUpdated]:
    return [load_contact_updated(each.value) for each in await read_all(stack.kafka, stack.topics.contact_updated)]


def assert_versions_are_whole(updates: Iterable[ContactUpdated], stored: dict[str, Contact]) -> None:
    """1, 2, 3 … of each contact without a hole, one content each, first seen in order, and the last is what is kept."""
    contents: dict[str, dict[int, ContactUpdated]] = defaultdict(dict)
    for update in updates:
        assert contents[update.contact_id].setdefault(update.version, update) == update
    assert contents.keys() == stored.keys()
    for contact_id, versions in contents.items():
        assert list(versions) == list(range(1, stored[contact_id].version + 1)), f"{contact_id}: {list(versions)}"
        assert versions[stored[contact_id].version].contact == stored[contact_id]


async def messages(database: Database) -> dict[str, StoredMessage]:
    return {each["_id"]: from_document(each) async for each in database.messages.find()}
