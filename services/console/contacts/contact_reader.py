"""Reads a contact with all that its page shows."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from services.console.contacts.message_list import DisplayedMessage, displayed_messages
from shared.contract.contacts import Activity, Contact, Score
from shared.domain.accounts import Account
from shared.domain.pipelines import Pipeline
from shared.store.accounts import AccountStore
from shared.store.activities import ActivityStore
from shared.store.contacts import Contacts
from shared.store.conversations import Conversations
from shared.store.messages import MessageStore
from shared.store.mongo import Database
from shared.store.pipelines import PipelineStore

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


async def load_contact_details(database: Database, contact_id: str, page: int = 1) -> ContactDetails | None:
    """Return the contact with a page of its messages, or None. A page beyond the last is the last."""
    contacts = Contacts(database)
    contact = await contacts.read(contact_id)
    if contact is None:
        return None
    account = await AccountStore(database).get(contact.platform, contact.account_id)
    conversation = await Conversations(database).get(contact_id)
    return ContactDetails(
        contact=contact,
        scores=tuple(await contacts.scores(contact_id)),
        activities=tuple(reversed(await ActivityStore(database).of(contact_id))),
        message_page=await load_message_page(database, contact_id, page),
        account=account,
        pipeline=await PipelineStore(database).get(account.pipeline if account else None),
        is_due=conversation is not None and "due_at" in conversation,
    )


async def load_message_page(database: Database, contact_id: str, page: int) -> MessagePage:
    """Return a page of messages. They are counted only when there is more than one page."""
    messages = MessageStore(database)
    shown = await _page_of(messages, contact_id, page)
    if page == 1 and len(shown) < MESSAGES_PER_PAGE:
        return MessagePage(shown, len(shown), 1, 1)
    found = await messages.count_sent(contact_id)
    pages = max(1, ceil(found / MESSAGES_PER_PAGE))
    if page > pages:
        page, shown = pages, await _page_of(messages, contact_id, pages)
    return MessagePage(shown, found, page, pages)


async def _page_of(messages: MessageStore, contact_id: str, page: int) -> tuple[DisplayedMessage, ...]:
    newest = await messages.newest(contact_id, (page - 1) * MESSAGES_PER_PAGE, MESSAGES_PER_PAGE)
    return tuple(displayed_messages(newest))
