"""How the versions of a contact reach `contact-updated`: a contact is its own outbox entry (ADR 15). Pure.

Every version must be published at least once, and in order. A version and what is to be published of it are written by
one update of one document. A worker's version needs no copy for that: the contact, and `latest` beside it (the names of
the fields that the version changed, and its activity), make the bytes to publish whenever they are needed.

    written by a worker                                written by a person, or a tombstone
            │                                                        │
            ▼                                                        ▼
      in the contact ──── written over while it ─────────▶ in `outbox`, oldest first
            │             may be unpublished                         │
            │ the worker publishes it,                               │ whoever holds the lease publishes it
            │ then finishes: the lease is removed                    │ and takes it out of `outbox`
            ▼                                                        ▼
        published ◀──────────────────────────────────────────────────┘

A version in `outbox` is unpublished until it is taken out. The version in the contact *may be unpublished* while its
conversation has a lease, because a lease is removed only after everything is published:

- A worker whose claim replaced an expired lease (`Claim.may_be_unpublished`) does not know how far the earlier worker
  came. It publishes the contact as it is first, perhaps for the second time.
- A worker that finds another version than the one it started from may have found its own: the driver may send an insert
  twice, and the second is refused. From then on the version may be unpublished for this worker as well.
- An edit by a person looks for a lease, expired or not. It reads the contact before it looks, and its write compares
  the version: so a version that it does not keep was published before the lease was seen to be gone.

The decisions are here: `StoredContact.unpublished` says what to publish, `next_write` and `StoredContact.superseded`
what a write has to keep in `outbox`. Callers only say whether the contact may be unpublished.

A write by a worker also compares the fence of its claim. Each analysis writes its fence, even when nothing changed, so
an earlier worker can write nothing from then on, however late it wakes.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.contract.contacts import Change, Contact, ContactUpdated, dump_contact_updated
from shared.store.mongo import Document

TOMBSTONE = b""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A version that is or may be unpublished. `value` are the bytes to publish, which are the same each time this
    release makes them; empty bytes are a tombstone."""

    version: int
    value: bytes
    activity: Document | None = None


@dataclass(frozen=True, slots=True)
class StoredContact:
    """A document of `contacts`. `contact` is None in the stub of an erased customer; the next version follows its own.
    `latest` is the change that made the contact; None where its version is in `outbox` only."""

    contact: Contact | None
    version: int
    fence: int
    outbox: tuple[OutboxEntry, ...]
    latest: Change | None = None

    def unpublished(self, *, may_be_unpublished: bool) -> tuple[OutboxEntry, ...]:
        """Return what is to be published, oldest first: `outbox`, and the contact where it may be unpublished."""
        own = self.superseded(may_be_unpublished=may_be_unpublished)
        return (*self.outbox, own) if own else self.outbox

    def superseded(self, *, may_be_unpublished: bool) -> OutboxEntry | None:
        """Return the entry that a write over this contact has to put into `outbox`."""
        return self.own if may_be_unpublished else None

    @property
    def own(self) -> OutboxEntry | None:
        """The entry that the contact is itself; None where `outbox` has it."""
        if self.latest is None or any(entry.version == self.version for entry in self.outbox):
            return None
        return entry_of(self.latest)


@dataclass(frozen=True, slots=True)
class VersionWrite:
    """A worker's write of a version, over version `before`; 0 means that there was none. `superseded` goes to the
    outbox."""

    change: Change
    before: int
    fence: int
    superseded: OutboxEntry | None = None

    @property
    def contact_id(self) -> str:
        return self.change.contact.contact_id


@dataclass(frozen=True, slots=True)
class FenceWrite:
    """A worker's write of its fence alone, on a contact that stays as it is."""

    contact_id: str
    before: int
    fence: int


def next_write(
    contact_id: str, stored: StoredContact | None, change: Change | None, fence: int, *, may_be_unpublished: bool
) -> VersionWrite | FenceWrite:
    """Return the write by which a worker applies `change` to what is stored; None changes nothing."""
    before = stored.version if stored else 0
    if change is None:
        return FenceWrite(contact_id, before, fence)
    superseded = stored.superseded(may_be_unpublished=may_be_unpublished) if stored else None
    return VersionWrite(change, before, fence, superseded)


def stub_over(stored: StoredContact | None, fence: int) -> StoredContact:
    """Return the stub of an erased customer. Its tombstone is a version; a stub gets no second tombstone."""
    if stored and stored.contact is None:
        return StoredContact(None, stored.version, fence, stored.outbox)
    version = stored.version + 1 if stored else 1
    return StoredContact(None, version, fence, (OutboxEntry(version, TOMBSTONE),))


def entry_of(change: Change) -> OutboxEntry:
    contact = change.contact
    update = ContactUpdated(
        contact_id=contact.contact_id, version=contact.version, changed=change.changed, contact=contact
    )
    activity = change.activity.model_dump() if change.activity else None
    return OutboxEntry(contact.version, dump_contact_updated(update), activity)
