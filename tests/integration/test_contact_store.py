"""Contacts written in groups over a real server: of each its own outcome, and never another's version."""

from __future__ import annotations

import pytest

from shared.contact_store import Contacts, Entry, Stored, Touch, Write
from shared.contacts import Change, Contact, Name, NameSource
from shared.ids import Platform
from shared.mongo import Database
from tests.support.making import EPOCH


def version(key: str, number: int, notes: str = "") -> Change:
    contact = Contact(
        contact_id=key, platform=Platform.MESSENGER, account_id="1", customer_id=key, version=number, notes=notes,
        name=Name(first=key, source=NameSource.PLACEHOLDER), created_at=EPOCH, updated_at=EPOCH,
    )  # fmt: skip
    return Change(contact, ("notes",), None)


@pytest.fixture
async def contacts(database: Database) -> Contacts:
    """a, b and c are there, in their first version and under fence 5."""
    store = Contacts(database.contacts)
    written = await store.write_all([Write(version(key, 1), 0, 5) for key in "abc"])
    assert set(written) == set("abc")
    return store


async def stored(contacts: Contacts, key: str) -> Stored:
    found = await contacts.load(key)
    assert found is not None
    return found


async def test_what_is_written_is_there_with_its_entry(contacts: Contacts) -> None:
    written = await contacts.write_all([Write(version("a", 2, "new"), 1, 6), Write(version("d", 1), 0, 1)])
    assert {key: entry.version for key, entry in written.items() if entry} == {"a": 2, "d": 1}
    found = await stored(contacts, "a")
    assert (found.version, found.fence, found.contact) == (2, 6, version("a", 2, "new").contact)
    assert found.outbox[-1] == written["a"]
    assert [entry.version for entry in found.outbox] == [1, 2]


async def test_of_many_those_that_met_another_are_told_apart(contacts: Contacts) -> None:
    """a: a later fence; b: another version; c: nobody; d: it is there already."""
    await contacts.write_all([Touch("a", 1, 9), Write(version("b", 2, "theirs"), 1, 5), Write(version("d", 1), 0, 1)])
    ours = [Write(version(key, 2, "ours"), 1, 6) for key in "abc"]
    assert set(await contacts.write_all([*ours, Write(version("d", 1, "ours"), 0, 6)])) == {"c"}
    notes = {key: each.contact.notes for key, each in (await contacts.load_all("abcd")).items() if each.contact}
    assert notes == {"a": "", "b": "theirs", "c": "ours", "d": ""}


async def test_a_touch_leaves_its_fence_and_nothing_else(contacts: Contacts) -> None:
    before = await stored(contacts, "a")
    assert set(await contacts.write_all([Touch("a", 1, 6), Touch("b", 1, 4), Touch("c", 2, 6)])) == {"a"}
    after = await stored(contacts, "a")
    assert (after.fence, after.contact, after.outbox) == (6, before.contact, before.outbox)


async def test_only_what_was_published_leaves_an_outbox(contacts: Contacts) -> None:
    old = (await stored(contacts, "a")).outbox
    await contacts.write_all([Write(version("a", 2), 1, 5)])
    other = (await stored(contacts, "b")).outbox
    await contacts.published_all([("a", old[0]), ("b", other[0])])
    assert [entry.version for entry in (await stored(contacts, "a")).outbox] == [2]
    assert (await stored(contacts, "b")).outbox == ()
    assert (await stored(contacts, "c")).outbox != ()


async def test_an_edit_compares_the_version_alone_and_leaves_the_fence(contacts: Contacts) -> None:
    assert isinstance(await contacts.write_edit(version("a", 2, "by hand")), Entry)
    assert await contacts.write_edit(version("a", 2, "again")) is None
    found = await stored(contacts, "a")
    assert (found.version, found.fence, len(found.outbox)) == (2, 5, 2)
