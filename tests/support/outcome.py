"""Example conversations, and the contacts that they must result in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from services.analyzer.analysis.transcript import build_transcript, fingerprint
from services.analyzer.contact.merge import Placement, next_contact
from services.analyzer.conversation import Conversation
from shared.bus.reader import read_all
from shared.contract.contacts import Contact, ContactUpdated, load_contact_updated
from shared.contract.events import Attachment, Event, Source
from shared.contract.ids import ConversationKey, Platform
from shared.domain.messages import StoredMessage, fold_all, from_document
from shared.store.mongo import Database
from tests.conftest import Stack
from tests.support.making import EPOCH, answered, reacted, said, unsent
from tests.support.waiting import eventually


def customers(number: int) -> list[ConversationKey]:
    platforms = (Platform.MESSENGER, Platform.INSTAGRAM)
    return [ConversationKey(platforms[n % 2], "371", f"{n:06}") for n in range(number)]


def story(who: ConversationKey) -> list[Event]:
    """Return the webhook and backfill events of one conversation, with every kind of change to a message."""
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


async def settled(database: Database, events: Iterable[Event]) -> dict[str, Contact]:
    """Return all contacts once everything in `events` is stored, analysed and published.

    The oracle is the fold of the events: a conversation is settled when another analysis would change nothing.
    """
    expected = fold_all(events)
    of: dict[str, list[StoredMessage]] = defaultdict(list)
    for message in expected.values():
        of[message.conversation].append(message)

    async def outdated() -> list[str]:
        found = await contacts(database)
        return [key for key in of.keys() | found.keys() if not (key in found and is_current(found[key], of[key]))]

    async def pending() -> tuple[int, int]:
        in_work = {"$or": [{"due_at": {"$exists": True}}, {"lease": {"$exists": True}}]}
        due = await database.conversations.count_documents(in_work)
        return due, await database.contacts.count_documents({"outbox": {"$ne": []}})

    await eventually(lambda: messages(database), lambda found: found == expected)
    await eventually(outdated, lambda keys: not keys)
    await eventually(pending, lambda counts: counts == (0, 0))
    return await contacts(database)


def is_current(contact: Contact, messages: list[StoredMessage]) -> bool:
    """Whether its analysis covers exactly these messages, and another one would change nothing."""
    transcript, analysis = build_transcript(contact.platform, messages), contact.analysis
    if transcript is None or analysis is None or analysis.fingerprint != fingerprint(transcript):
        return False
    conversation = Conversation(contact.contact_id, contact.platform, contact.account_id, contact.customer_id)
    return next_contact(contact, conversation, messages, analysis, Placement(), EPOCH) is None


async def published(stack: Stack) -> list[ContactUpdated]:
    return [load_contact_updated(each.value) for each in await read_all(stack.kafka, stack.topics.contact_updated)]


def assert_versions_are_whole(updates: Iterable[ContactUpdated], stored: dict[str, Contact]) -> None:
    """Assert that each contact has versions 1, 2, 3 … in order without a gap, one content each, the last one stored."""
    contents: dict[str, dict[int, ContactUpdated]] = defaultdict(dict)
    for update in updates:
        assert contents[update.contact_id].setdefault(update.version, update) == update
    assert contents.keys() == stored.keys()
    for contact_id, versions in contents.items():
        assert list(versions) == list(range(1, stored[contact_id].version + 1)), f"{contact_id}: {list(versions)}"
        assert versions[stored[contact_id].version].contact == stored[contact_id]


async def messages(database: Database) -> dict[str, StoredMessage]:
    return {each["_id"]: from_document(each) async for each in database.messages.find()}
