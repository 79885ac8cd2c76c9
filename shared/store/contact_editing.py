"""Writes a person's edit of a contact, over the newest version, and has it published."""

from __future__ import annotations

from shared.contract.contacts import Change, Contact
from shared.domain.accounts import account_key
from shared.domain.contact_edits import AutomaticField, ContactEdit, edited
from shared.domain.corrections import correction_of
from shared.runtime.clock import Clock
from shared.store.contact_versions import StoredContact
from shared.store.contacts import Contacts
from shared.store.conversations import Conversations
from shared.store.mongo import Database
from shared.store.pipelines import PipelineStore
from shared.store.profile_queue import ProfileQueue


class NoContactError(LookupError):
    """No contact has this id, or its customer is erased."""


async def edit_contact(database: Database, contact_id: str, edit: ContactEdit, clock: Clock) -> Contact:
    """Apply `edit` and return the contact as it is then; an analyzer publishes it. NoContactError; InvalidEditError."""
    while True:
        stored = await Contacts(database).load(contact_id)
        if stored is None or stored.contact is None:
            raise NoContactError(contact_id)
        account = account_key(stored.contact.platform, stored.contact.account_id)
        change = edited(stored.contact, edit, await PipelineStore(database).of_account(account), clock())
        if change is None:
            return stored.contact
        if await write_and_publish(database, stored, change):
            if AutomaticField.NAME in edit.given_back:
                await ProfileQueue(database).remove(contact_id)  # so that the platform is asked again
            return change.contact


async def write_and_publish(database: Database, before: StoredContact, change: Change) -> bool:
    """Write a version that no worker made, and return False when another version than `before` is there by now.

    Only the holder of a lease publishes, so the conversation is requeued: after the write, and before it as well,
    because a crash in between leaves the version to an analysis that is still to come. `before` must be read before
    this looks for a lease (`contact_versions`).
    """
    contact_id, conversations = change.contact.contact_id, Conversations(database)
    await conversations.requeue([contact_id])
    superseded = before.superseded(may_be_unpublished=await conversations.is_leased(contact_id))
    correction = correction_of(before.contact, change)
    if not await Contacts(database).write_edit(change, superseded, correction):
        return False
    await conversations.requeue([contact_id])
    return True
