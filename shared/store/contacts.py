"""Contacts and their unpublished versions, in one document each.

A version is written together with what is to be published of it in a single-document update that compares the version
it was made from and the fence it was made under. A fence is written by every look at a contact, even one that changes
nothing: an older one can write nothing from then on, however late it wakes. A person's edit compares the version only.

What a worker has written is its own entry: the contact as it is, and what its version changed. Whether that is
published its conversation tells (ADR 15). In the outbox are versions that were written over, and those by a person.

A forgotten contact leaves a stub without any content, so that its versions never begin again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.contract.contacts import (
    SCORES_KEPT,
    Activity,
    Change,
    Contact,
    ContactUpdated,
    dump_contact_updated,
    score_of,
)
from shared.store.mongo import Collection, Document, UpdateOne, insert_all, write_all

CONTACT_ALONE = {"outbox": False, "latest": False}
"""A projection, for those who only read what a contact says."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A version that may not have been published. `value` are the bytes to publish, the same whenever this release
    makes them; empty they are a tombstone."""

    version: int
    value: bytes
    activity: Document | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """`contact` is None where it was forgotten: the next one goes on from `version`. `latest` is what made it."""

    contact: Contact | None
    version: int
    fence: int
    outbox: tuple[Entry, ...]
    latest: Change | None = None

    def unpublished(self, *, is_unsure: bool) -> tuple[Entry, ...]:
        """What may be, oldest first. `is_unsure`: the contact itself too, as of a claim."""
        own = self.own if is_unsure else None
        return (*self.outbox, own) if own else self.outbox

    @property
    def own(self) -> Entry | None:
        """The entry of the contact as it is, where the outbox has none."""
        if self.latest is None or any(entry.version == self.version for entry in self.outbox):
            return None
        return entry_of(self.latest)


@dataclass(frozen=True, slots=True)
class Write:
    """The version that comes after the one that was `before`; 0: there was none. `over` is the entry of that, if it may
    not be published: it goes to the outbox."""

    change: Change
    before: int
    fence: int
    over: Entry | None = None

    @property
    def contact_id(self) -> str:
        return self.change.contact.contact_id


@dataclass(frozen=True, slots=True)
class Touch:
    """The fence alone, on a contact that stays as it is."""

    contact_id: str
    before: int
    fence: int


class Contacts:
    """In groups, since a write of many documents costs a fraction of many writes."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    async def load(self, contact_id: str) -> Stored | None:
        return (await self.load_all([contact_id])).get(contact_id)

    async def load_all(self, contact_ids: Iterable[str]) -> dict[str, Stored]:
        ids = list(contact_ids)
        found = self._collection.find({"_id": {"$in": ids}}, batch_size=len(ids) + 1)
        return {each["_id"]: _load(each) async for each in found}

    async def write_all(self, writes: Sequence[Write | Touch]) -> dict[str, Entry | None]:
        """By contact those that are written, with the entry to publish. The others are as they were: another version or
        a later fence is there."""
        entries = {each.contact_id: entry_of(each.change) if isinstance(each, Write) else None for each in writes}
        new = [each for each in writes if isinstance(each, Write) and not each.before]
        old = [each for each in writes if each.before]
        refused = await insert_all(self._collection, [_document(each) for each in new])
        if old and not await write_all(self._collection, [_update(each) for each in old]):
            stored = await self.load_all(each.contact_id for each in old)
            for each in old:
                if not _is_written(each, entries[each.contact_id], stored.get(each.contact_id)):
                    refused.add(each.contact_id)
        return {contact_id: entry for contact_id, entry in entries.items() if contact_id not in refused}

    async def write_edit(self, change: Change, over: Entry | None = None) -> bool:
        """A person's: False where another version is there; whoever has the conversation, and under no fence. `over` as
        of a `Write`."""
        contact = change.contact
        unchanged = {"_id": contact.contact_id, "version": contact.version - 1}
        update = _with_version(change, [over, entry_of(change)] if over else [entry_of(change)])
        return (await self._collection.update_one(unchanged, update)).matched_count == 1

    async def published_all(self, entries: Sequence[tuple[str, Entry]]) -> None:
        """Takes these out of their outboxes. An entry is known by its bytes, which no other version has."""
        if not entries:
            return
        ids = [contact_id for contact_id, _ in entries]
        values = [entry.value for _, entry in entries]
        taken = {"$pull": {"outbox": {"value": {"$in": values}}}}
        await self._collection.update_many({"_id": {"$in": ids}}, taken)


def entry_of(change: Change) -> Entry:
    contact = change.contact
    update = ContactUpdated(
        contact_id=contact.contact_id, version=contact.version, changed=change.changed, contact=contact
    )
    activity = change.activity.model_dump() if change.activity else None
    return Entry(contact.version, dump_contact_updated(update), activity)


def _load(found: Document) -> Stored:
    contact = None if "forgotten_at" in found else Contact.model_validate(found)
    outbox = (Entry(each["version"], each["value"], each.get("activity")) for each in found.get("outbox", ()))
    return Stored(
        contact, found["version"], found.get("fence", 0), tuple(outbox), _latest(contact, found.get("latest"))
    )


def _latest(contact: Contact | None, latest: Document | None) -> Change | None:
    """None also where somebody has written a version and has not said what it changed."""
    if contact is None or latest is None or latest.get("version") != contact.version:
        return None
    activity = Activity.model_validate(latest["activity"]) if latest["activity"] else None
    return Change(contact, tuple(latest["changed"]), activity)


def _document(write: Write) -> Document:
    fields = {**_fields(write.change), "fence": write.fence, "scores": _scores(write.change)}
    return {"_id": write.contact_id, **fields, "outbox": []}


def _fields(change: Change) -> Document:
    activity = change.activity.model_dump() if change.activity else None
    latest = {"version": change.contact.version, "changed": change.changed, "activity": activity}
    return {**change.contact.model_dump(), "latest": latest}


def _update(write: Write | Touch) -> UpdateOne:
    writable = {"_id": write.contact_id, "version": write.before, "fence": {"$lte": write.fence}}
    if isinstance(write, Touch):
        return UpdateOne(writable, {"$set": {"fence": write.fence}})
    update = _with_version(write.change, [write.over] if write.over else [])
    return UpdateOne(writable, {**update, "$set": {**update["$set"], "fence": write.fence}})


def _with_version(change: Change, entries: Sequence[Entry]) -> Document:
    """`entries` go to the outbox."""
    pushed: Document = {}
    if entries:
        pushed["outbox"] = {"$each": [_stored(entry) for entry in entries]}
    if scores := _scores(change):
        pushed["scores"] = {"$each": scores, "$slice": -SCORES_KEPT}
    update: Document = {"$set": _fields(change), "$unset": {"forgotten_at": ""}}
    return {**update, "$push": pushed} if pushed else update


def _is_written(write: Write | Touch, entry: Entry | None, found: Stored | None) -> bool:
    if found is None:
        return False
    if entry is None:
        return (found.version, found.fence) == (write.before, write.fence)
    there = found.unpublished(is_unsure=True)
    return any((each.version, each.value) == (entry.version, entry.value) for each in there)


def _stored(entry: Entry) -> Document:
    return {"version": entry.version, "value": entry.value, "activity": entry.activity}


def _scores(change: Change) -> list[Document]:
    score = score_of(change)
    return [score.model_dump()] if score else []
