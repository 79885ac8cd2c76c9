"""Reads a contact with all that its page shows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from math import ceil

from services.console.contacts.message_list import DisplayedMessage, displayed_messages
from shared.contract.contacts import Activity, Contact, Score, activities_of
from shared.domain.accounts import Account, account_key
from shared.domain.messages import from_document
from shared.domain.pipelines import Pipeline
from shared.store.contacts import CONTACT_ALONE
from shared.store.indexes import EPOCH
from shared.store.mongo import Database, Document
from shared.store.pipelines import PipelineStore

TOGETHER = 500
"""Contacts read by one query, where many are."""
MESSAGES_PER_PAGE = 1000
"""Messages shown at once: while a very long page is rendered, all other requests wait."""


@dataclass(frozen=True, slots=True)
class MessagePage:
    """One page of messages, oldest first; the first page has the newest. `found` counts the messages of all `pages`."""

    messages: tuple[DisplayedMessage, ...]
    found: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class ContactDetails:
    """`pipeline` is the one of the contact's account; `is_due` means that an analysis is queued."""

    contact: Contact
    scores: tuple[Score, ...]
    activities: tuple[Activity, ...]
    message_page: MessagePage
    account: Account | None
    pipeline: Pipeline | None
    is_due: bool


async def contact_of(database: Database, contact_id: str) -> Contact | None:
    """None where there is none, or it was forgotten."""
    stored = await database.contacts.find_one({"_id": contact_id, "forgotten_at": {"$exists": False}}, CONTACT_ALONE)
    return Contact.model_validate(stored) if stored else None


async def load_contact_details(database: Database, contact_id: str, page: int = 1) -> ContactDetails | None:
    """Return the contact with a page of its messages, or None. A page beyond the last is the last."""
    stored = await database.contacts.find_one({"_id": contact_id, "forgotten_at": {"$exists": False}}, CONTACT_ALONE)
    if stored is None:
        return None
    contact = Contact.model_validate(stored)
    account = await _account_of(database, contact)
    activities = database.activities.find(activities_of(contact_id)).sort("version", -1)
    conversation = await database.conversations.find_one({"_id": contact_id}, {"due_at": True})
    return ContactDetails(
        contact=contact,
        scores=tuple(Score.model_validate(each) for each in stored.get("scores", ())),
        activities=tuple([Activity.model_validate(each) async for each in activities]),
        message_page=await load_message_page(database, contact_id, page),
        account=account,
        pipeline=await PipelineStore(database).get(account.pipeline if account else None),
        is_due=bool(conversation and conversation.get("due_at")),
    )


async def load_message_page(database: Database, contact_id: str, page: int) -> MessagePage:
    """Return a page of messages. They are counted only when there is more than one page."""
    asked = {"conversation": contact_id, "sent_at": {"$gte": EPOCH}}
    said = await _page_of(database, asked, page)
    if page == 1 and len(said) < MESSAGES_PER_PAGE:
        return MessagePage(said, len(said), 1, 1)
    found = await database.messages.count_documents(asked)
    pages = max(1, ceil(found / MESSAGES_PER_PAGE))
    if page > pages:
        page, said = pages, await _page_of(database, asked, pages)
    return MessagePage(said, found, page, pages)


async def _page_of(database: Database, asked: Document, page: int) -> tuple[DisplayedMessage, ...]:
    newest_first = database.messages.find(asked).sort([("sent_at", -1), ("_id", -1)])
    stored = newest_first.skip((page - 1) * MESSAGES_PER_PAGE).limit(MESSAGES_PER_PAGE)
    return tuple(displayed_messages([from_document(each) async for each in stored]))


async def contacts_of(database: Database, contact_ids: Sequence[str]) -> AsyncIterator[Contact]:
    """In the order of `contact_ids`; who is gone by now is left out."""
    for start in range(0, len(contact_ids), TOGETHER):
        ids = list(contact_ids[start : start + TOGETHER])
        asked = {"_id": {"$in": ids}, "forgotten_at": {"$exists": False}}
        found = {each["_id"]: each async for each in database.contacts.find(asked, {**CONTACT_ALONE, "scores": False})}
        for contact_id in ids:
            if contact_id in found:
                yield Contact.model_validate(found[contact_id])


async def _account_of(database: Database, contact: Contact) -> Account | None:
    stored = await database.accounts.find_one({"_id": account_key(contact.platform, contact.account_id)})
    return Account.model_validate(stored) if stored else None
