"""Contacts and their unpublished versions, in one document each.

A version is written together with its entry in the outbox in a single-document update that compares the version it
was made from and the fence it was made under. A fence is written by every look at a contact, even one that changes
nothing: an older one can write nothing from then on, however late it wakes.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.analyzer.merge import Change
from shared.contacts import Contact, ContactUpdated, dump_contact_updated
from shared.mongo import Collection, Document, DuplicateKeyError


@dataclass(frozen=True, slots=True)
class Entry:
    """A version that may not have been published. `value` are the bytes to publish: they never change any more."""

    version: int
    value: bytes
    activity: Document | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    contact: Contact
    fence: int
    outbox: tuple[Entry, ...]


class Contacts:
    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    async def load(self, contact_id: str) -> Stored | None:
        found = await self._collection.find_one({"_id": contact_id})
        if found is None:
            return None
        outbox = (Entry(each["version"], each["value"], each.get("activity")) for each in found.get("outbox", ()))
        return Stored(Contact.model_validate(found), found.get("fence", 0), tuple(outbox))

    async def write(self, change: Change, fence: int) -> Entry | None:
        """The entry to publish. None, and nothing is written, when another version or a later fence is there."""
        contact = change.contact
        entry = _entry(change)
        fields = {**contact.model_dump(), "fence": fence}
        if contact.version == 1:
            return (
                entry if await self._insert({"_id": contact.contact_id, **fields, "outbox": [_stored(entry)]}) else None
            )
        update = {"$set": fields, "$push": {"outbox": _stored(entry)}}
        result = await self._collection.update_one(_writable(contact.contact_id, contact.version - 1, fence), update)
        return entry if result.matched_count else None

    async def touch(self, contact: Contact, fence: int) -> bool:
        """Leaves `fence` on a contact that stays as it is; False as `write` gives None."""
        unchanged = _writable(contact.contact_id, contact.version, fence)
        return bool((await self._collection.update_one(unchanged, {"$set": {"fence": fence}})).matched_count)

    async def published(self, contact_id: str, version: int) -> None:
        await self._collection.update_one({"_id": contact_id}, {"$pull": {"outbox": {"version": version}}})

    async def _insert(self, document: Document) -> bool:
        try:
            await self._collection.insert_one(document)
        except DuplicateKeyError:
            return False
        return True


def _writable(contact_id: str, version: int, fence: int) -> Document:
    return {"_id": contact_id, "version": version, "fence": {"$lte": fence}}


def _entry(change: Change) -> Entry:
    contact = change.contact
    update = ContactUpdated(
        contact_id=contact.contact_id, version=contact.version, changed=change.changed, contact=contact
    )
    activity = change.activity.model_dump() if change.activity else None
    return Entry(contact.version, dump_contact_updated(update), activity)


def _stored(entry: Entry) -> Document:
    return {"version": entry.version, "value": entry.value, "activity": entry.activity}
