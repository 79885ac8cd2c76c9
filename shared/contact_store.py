"""Contacts and their unpublished versions, in one document each.

A version is written together with its entry in the outbox in a single-document update that compares the version it
was made from and the fence it was made under. A fence is written by every look at a contact, even one that changes
nothing: an older one can write nothing from then on, however late it wakes. A person's edit compares the version only.

A forgotten contact leaves a stub without any content, so that its versions never begin again.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.contacts import SCORES_KEPT, Change, Contact, ContactUpdated, dump_contact_updated, score_of
from shared.mongo import Collection, Document, DuplicateKeyError


@dataclass(frozen=True, slots=True)
class Entry:
    """A version that may not have been published. `value` are the bytes to publish: they never change any more, and
    empty they are a tombstone."""

    version: int
    value: bytes
    activity: Document | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """`contact` is None where it was forgotten: the next one goes on from `version`."""

    contact: Contact | None
    version: int
    fence: int
    outbox: tuple[Entry, ...]


class Contacts:
    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    async def load(self, contact_id: str) -> Stored | None:
        found = await self._collection.find_one({"_id": contact_id})
        if found is None:
            return None
        contact = None if "forgotten_at" in found else Contact.model_validate(found)
        outbox = (Entry(each["version"], each["value"], each.get("activity")) for each in found.get("outbox", ()))
        return Stored(contact, found["version"], found.get("fence", 0), tuple(outbox))

    async def write(self, change: Change, fence: int) -> Entry | None:
        """The entry to publish. None, and nothing is written, when another version or a later fence is there."""
        contact, entry = change.contact, _entry(change)
        if contact.version == 1:
            document = {
                "_id": contact.contact_id, **contact.model_dump(), "fence": fence, "outbox": [_stored(entry)],
                "scores": _scores(change),
            }  # fmt: skip
            return entry if await self._insert(document) else None
        writable = _writable(contact.contact_id, contact.version - 1, fence)
        return entry if await self._update(writable, change, entry, {"fence": fence}) else None

    async def write_edit(self, change: Change) -> Entry | None:
        """A person's: as `write`, whoever has the conversation, and under no fence of its own."""
        contact, entry = change.contact, _entry(change)
        unchanged = {"_id": contact.contact_id, "version": contact.version - 1}
        return entry if await self._update(unchanged, change, entry, {}) else None

    async def touch(self, contact: Contact, fence: int) -> bool:
        """Leaves `fence` on a contact that stays as it is; False as `write` gives None."""
        unchanged = _writable(contact.contact_id, contact.version, fence)
        return bool((await self._collection.update_one(unchanged, {"$set": {"fence": fence}})).matched_count)

    async def published(self, contact_id: str, version: int) -> None:
        await self._collection.update_one({"_id": contact_id}, {"$pull": {"outbox": {"version": version}}})

    async def _update(self, where: Document, change: Change, entry: Entry, fence: Document) -> bool:
        update = {
            "$set": {**change.contact.model_dump(), **fence},
            "$unset": {"forgotten_at": ""},
            "$push": {
                "outbox": _stored(entry),
                "scores": {"$each": _scores(change), "$slice": -SCORES_KEPT},
            },
        }
        return bool((await self._collection.update_one(where, update)).matched_count)

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


def _scores(change: Change) -> list[Document]:
    score = score_of(change)
    return [score.model_dump()] if score else []
