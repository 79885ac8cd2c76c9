"""The `contacts` collection: a contact and its unpublished versions in one document, or the stub of an erased customer.

`contact_versions` explains versions, fences and the outbox. A stub has no content; it continues the version numbers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import cast

from shared.contract.contacts import SCORES_KEPT, Activity, Change, Contact, Score, score_of
from shared.domain.corrections import Correction
from shared.store.contact_versions import FenceWrite, OutboxEntry, StoredContact, VersionWrite, entry_of
from shared.store.mongo import Database, Document, UpdateOne, insert_all, write_all

CONTACT_ALONE = {"outbox": False, "latest": False, "scores": False, "corrections": False}
"""The projection of a contact without what belongs to its versions."""
NOT_ERASED: Document = {"forgotten_at": {"$exists": False}}
"""The filter of contacts that are not the stub of an erased customer. Every query for contacts has it."""
READ_BATCH_SIZE = 500
MAX_CORRECTIONS = 20
"""How many of a contact are kept, the newest ones."""


def of_account(account: str) -> Document:
    """Return the query for an account's contacts, which are a range of ids, so that the index serves."""
    return {"_id": {"$gte": f"{account}:", "$lt": f"{account};"}}


class Contacts:
    """Writes in groups: a write of many documents costs a fraction of many writes."""

    def __init__(self, database: Database) -> None:
        self._contacts = database.contacts

    async def read(self, contact_id: str) -> Contact | None:
        """Return the contact; None when there is none or its customer is erased."""
        stored = await self._contacts.find_one({"_id": contact_id, **NOT_ERASED}, CONTACT_ALONE)
        return Contact.model_validate(stored) if stored else None

    async def scores(self, contact_id: str) -> list[Score]:
        """Return what the last analyses of a contact scored, oldest first."""
        stored = await self._contacts.find_one({"_id": contact_id, **NOT_ERASED}, {"scores": True})
        return [Score.model_validate(each) for each in stored.get("scores", ())] if stored else []

    async def find(self, where: Document, limit: int = 0) -> AsyncIterator[Contact]:
        """Yield contacts in the order of their ids, `limit` at most; 0 is no limit."""
        async for stored in self._contacts.find({**where, **NOT_ERASED}, CONTACT_ALONE).sort("_id", 1).limit(limit):
            yield Contact.model_validate(stored)

    async def corrected(self, account: str | None) -> AsyncIterator[tuple[Contact, list[Correction]]]:
        """Yield the contacts that people have corrected, in the order of their ids, with all corrections kept."""
        of_one = of_account(account) if account else {}
        query = {**of_one, **NOT_ERASED, "corrections": {"$exists": True}}
        projection = {name: False for name in CONTACT_ALONE if name != "corrections"}
        async for stored in self._contacts.find(query, projection).sort("_id", 1):
            yield Contact.model_validate(stored), list(map(Correction.model_validate, stored["corrections"]))

    async def read_all(self, contact_ids: Sequence[str]) -> AsyncIterator[Contact]:
        """Yield contacts in the order of `contact_ids`; those that do not exist are left out."""
        for start in range(0, len(contact_ids), READ_BATCH_SIZE):
            ids = list(contact_ids[start : start + READ_BATCH_SIZE])
            stored = self._contacts.find({"_id": {"$in": ids}, **NOT_ERASED}, CONTACT_ALONE)
            found = {each["_id"]: each async for each in stored}
            for contact_id in ids:
                if contact_id in found:
                    yield Contact.model_validate(found[contact_id])

    def documents(self, projection: Document, contact_ids: Sequence[str] | None = None) -> AsyncIterator[Document]:
        """Return the documents of all contacts, or of `contact_ids`, with the stubs of erased customers.

        `is_stub` tells them apart, when `projection` includes `forgotten_at`.
        """
        where = {} if contact_ids is None else {"_id": {"$in": list(contact_ids)}}
        return cast("AsyncIterator[Document]", self._contacts.find(where, projection, batch_size=1000))

    async def load(self, contact_id: str) -> StoredContact | None:
        return (await self.load_all([contact_id])).get(contact_id)

    async def load_all(self, contact_ids: Iterable[str]) -> dict[str, StoredContact]:
        ids = list(contact_ids)
        found = self._contacts.find({"_id": {"$in": ids}}, batch_size=len(ids) + 1)
        return {each["_id"]: _load(each) async for each in found}

    async def write_all(self, writes: Sequence[VersionWrite | FenceWrite]) -> dict[str, OutboxEntry | None]:
        """Return the contacts that are written, each with the entry to publish.

        The others are unchanged: another version or a later fence is stored.
        """
        entries = {
            each.contact_id: entry_of(each.change) if isinstance(each, VersionWrite) else None for each in writes
        }
        new = [each for each in writes if isinstance(each, VersionWrite) and not each.before]
        old = [each for each in writes if each.before]
        refused = await insert_all(self._contacts, [_document(each) for each in new])
        if old and not await write_all(self._contacts, [_update(each) for each in old]):
            stored = await self.load_all(each.contact_id for each in old)
            for each in old:
                if not _is_written(each, entries[each.contact_id], stored.get(each.contact_id)):
                    refused.add(each.contact_id)
        return {contact_id: entry for contact_id, entry in entries.items() if contact_id not in refused}

    async def write_edit(
        self, change: Change, superseded: OutboxEntry | None = None, correction: Correction | None = None
    ) -> bool:
        """Write a version that no worker made, under no fence; it goes to the outbox, behind `superseded`.

        Returns False when another version is stored.
        """
        contact = change.contact
        unchanged = {"_id": contact.contact_id, "version": contact.version - 1}
        update = _with_version(change, [superseded, entry_of(change)] if superseded else [entry_of(change)])
        if correction:
            update["$push"]["corrections"] = {"$each": [correction.model_dump()], "$slice": -MAX_CORRECTIONS}
        return (await self._contacts.update_one(unchanged, update)).matched_count == 1

    async def put_stub(
        self, contact_id: str, before: StoredContact | None, stub: StoredContact, erased_at: datetime
    ) -> bool:
        """Replace the contact, read as `before`, by the stub. False when another version or a later fence is stored."""
        document = {
            "_id": contact_id, "version": stub.version, "fence": stub.fence, "forgotten_at": erased_at,
            "outbox": [_stored(entry) for entry in stub.outbox],
        }  # fmt: skip
        if before is None:
            return not await insert_all(self._contacts, [document])
        unchanged = {"_id": contact_id, "version": before.version, "fence": {"$lte": stub.fence}}
        return (await self._contacts.replace_one(unchanged, document)).matched_count == 1

    async def published_all(self, entries: Sequence[tuple[str, OutboxEntry]]) -> None:
        """Take published entries out of their contacts' outboxes. No two versions have the same bytes."""
        if not entries:
            return
        ids = [contact_id for contact_id, _ in entries]
        values = [entry.value for _, entry in entries]
        taken = {"$pull": {"outbox": {"value": {"$in": values}}}}
        await self._contacts.update_many({"_id": {"$in": ids}}, taken)


def is_stub(document: Document) -> bool:
    """Return whether a document of `contacts` is the stub of an erased customer."""
    return "forgotten_at" in document


def _load(found: Document) -> StoredContact:
    contact = None if is_stub(found) else Contact.model_validate(found)
    outbox = (OutboxEntry(each["version"], each["value"], each.get("activity")) for each in found.get("outbox", ()))
    return StoredContact(
        contact, found["version"], found.get("fence", 0), tuple(outbox), _latest(contact, found.get("latest"))
    )


def _latest(contact: Contact | None, latest: Document | None) -> Change | None:
    """Return None also for a version whose writer did not record what it changed."""
    if contact is None or latest is None or latest.get("version") != contact.version:
        return None
    activity = Activity.model_validate(latest["activity"]) if latest["activity"] else None
    return Change(contact, tuple(latest["changed"]), activity)


def _document(write: VersionWrite) -> Document:
    fields = {**_fields(write.change), "fence": write.fence, "scores": _scores(write.change)}
    return {"_id": write.contact_id, **fields, "outbox": []}


def _fields(change: Change) -> Document:
    activity = change.activity.model_dump() if change.activity else None
    latest = {"version": change.contact.version, "changed": change.changed, "activity": activity}
    return {**change.contact.model_dump(), "latest": latest}


def _update(write: VersionWrite | FenceWrite) -> UpdateOne:
    writable = {"_id": write.contact_id, "version": write.before, "fence": {"$lte": write.fence}}
    if isinstance(write, FenceWrite):
        return UpdateOne(writable, {"$set": {"fence": write.fence}})
    update = _with_version(write.change, [write.superseded] if write.superseded else [])
    return UpdateOne(writable, {**update, "$set": {**update["$set"], "fence": write.fence}})


def _with_version(change: Change, entries: Sequence[OutboxEntry]) -> Document:
    """Return the update to `change`, which adds `entries` to the outbox."""
    pushed: Document = {}
    if entries:
        pushed["outbox"] = {"$each": [_stored(entry) for entry in entries]}
    if scores := _scores(change):
        pushed["scores"] = {"$each": scores, "$slice": -SCORES_KEPT}
    update: Document = {"$set": _fields(change), "$unset": {"forgotten_at": ""}}
    return {**update, "$push": pushed} if pushed else update


def _is_written(write: VersionWrite | FenceWrite, entry: OutboxEntry | None, found: StoredContact | None) -> bool:
    if found is None:
        return False
    if entry is None:
        return (found.version, found.fence) == (write.before, write.fence)
    written = found.unpublished(may_be_unpublished=True)
    return any((each.version, each.value) == (entry.version, entry.value) for each in written)


def _stored(entry: OutboxEntry) -> Document:
    return {"version": entry.version, "value": entry.value, "activity": entry.activity}


def _scores(change: Change) -> list[Document]:
    score = score_of(change)
    return [score.model_dump()] if score else []
