"""A person's edit into the store: over what is newest, whoever writes meanwhile, and on its way to be published."""

from __future__ import annotations

from shared.contract.contacts import Change, Contact
from shared.domain.accounts import account_key
from shared.domain.contact_edits import AutomaticField, ContactEdit, edited
from shared.domain.pipelines import Pipeline
from shared.runtime.clock import Clock
from shared.store.contacts import Contacts, Stored
from shared.store.mongo import Database
from shared.store.requeue import requeue


class NoContactError(LookupError):
    """There is none of this id, or it was forgotten."""


async def edit_contact(database: Database, contact_id: str, edit: ContactEdit, clock: Clock) -> Contact:
    """The contact as it is then. NoContactError; InvalidEditError when it cannot be made.

    A worker publishes the version: at once, or when one runs again.
    """
    while True:
        stored = await Contacts(database.contacts).load(contact_id)
        if stored is None or stored.contact is None:
            raise NoContactError(contact_id)
        change = edited(stored.contact, edit, await _pipeline_of(database, stored.contact), clock())
        if change is None:
            return stored.contact
        if await write_and_publish(database, stored, change):
            if AutomaticField.NAME in edit.given_back:
                await database.profiles.delete_one({"_id": contact_id})  # so that the platform is asked again
            return change.contact


async def write_and_publish(database: Database, before: Stored, change: Change) -> bool:
    """Whether it was written, over the version that it was made from.

    Only who has the conversation publishes, so it is made due: behind the write, and before it as well, for a crash in
    between leaves the version to a look that is still to come. `before` was read before this looks for a lease: where
    there is none, it is published.
    """
    contact_id = change.contact.contact_id
    await requeue(database, [contact_id])
    leased = await database.conversations.find_one({"_id": contact_id, "lease": {"$exists": True}}, {"_id": True})
    if not await Contacts(database.contacts).write_edit(change, before.own if leased else None):
        return False
    await requeue(database, [contact_id])
    return True


async def _pipeline_of(database: Database, contact: Contact) -> Pipeline | None:
    account = await database.accounts.find_one(
        {"_id": account_key(contact.platform, contact.account_id)}, {"pipeline": True}
    )
    name = account.get("pipeline") if account else None
    stored = await database.pipelines.find_one({"_id": name}) if name else None
    return Pipeline.model_validate(stored) if stored else None
