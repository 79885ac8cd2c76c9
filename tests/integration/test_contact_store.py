"""Contacts written in groups over a real database: each write has its own outcome and never replaces another's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.analyzer.profiles.profile import Profile, with_profile
from shared.contract.contacts import Activity, Change, Contact, LeadStatus, Name, NameSource
from shared.contract.ids import Platform
from shared.domain.contact_edits import ContactEdit, edited
from shared.runtime.clock import utc_now
from shared.store.contact_versions import FenceWrite, StoredContact, VersionWrite, entry_of
from shared.store.contacts import Contacts
from shared.store.mongo import Database
from tests.support.contacts import SALES, analysis, contact
from tests.support.making import EPOCH, MARIA, answered, said


def version(key: str, number: int, notes: str = "") -> Change:
    contact = Contact(
        contact_id=key, platform=Platform.MESSENGER, account_id="1", customer_id=key, version=number, notes=notes,
        name=Name(first=key, source=NameSource.PLACEHOLDER), created_at=EPOCH, updated_at=EPOCH,
    )  # fmt: skip
    return Change(contact, ("notes",), None)


def activity(key: str, number: int) -> Activity:
    return Activity(
        activity_id=f"{key}#{number}", contact_id=key, version=number, from_stage=None, to_stage="New Lead",
        reasoning="asks", confidence=60, score=50, status=None, source="person", model=None, prompt_version=None,
        at=EPOCH,
    )  # fmt: skip


@pytest.fixture
async def contacts(database: Database) -> Contacts:
    """a, b and c are there, in their first version and under fence 5."""
    store = Contacts(database)
    written = await store.write_all([VersionWrite(version(key, 1), 0, 5) for key in "abc"])
    assert set(written) == set("abc")
    return store


async def stored(contacts: Contacts, key: str) -> StoredContact:
    found = await contacts.load(key)
    assert found is not None
    return found


async def test_a_written_version_is_its_own_entry_byte_for_byte(contacts: Contacts) -> None:
    written = await contacts.write_all(
        [VersionWrite(version("a", 2, "new"), 1, 6), VersionWrite(version("d", 1), 0, 1)]
    )
    assert {key: entry.version for key, entry in written.items() if entry} == {"a": 2, "d": 1}
    found = await stored(contacts, "a")
    assert (found.version, found.fence, found.contact) == (2, 6, version("a", 2, "new").contact)
    assert (found.outbox, found.own) == ((), written["a"])
    assert (found.unpublished(may_be_unpublished=True), found.unpublished(may_be_unpublished=False)) == (
        (written["a"],),
        (),
    )


async def test_a_contact_with_every_field_is_its_own_entry_byte_for_byte(contacts: Contacts) -> None:
    verdict = analysis(model="m", prompt_version="7", summary="Größe 🙂", retry_count=2)
    first = contact(MARIA, [said("How much? a@b.co 0917 123 4567", 1.001), answered("5", 2.999)], verdict)
    profile = with_profile(first, Profile(picture="https://x.test/p", locale="de_DE", timezone=8), utc_now())
    assert profile is not None
    change = edited(
        profile.contact, ContactEdit("Mary Cruz", "Closed Won", LeadStatus.WON, "n", ("t",)), SALES, utc_now()
    )
    assert change is not None
    assert change.activity is not None
    assert [name for name, value in change.contact if not value] == []
    written = await contacts.write_all([VersionWrite(change, 0, 1)])
    assert (await stored(contacts, str(MARIA))).own == written[str(MARIA)]


async def test_the_activity_of_a_stage_change_is_stored_with_its_version(contacts: Contacts) -> None:
    moved = replace(version("a", 2), activity=activity("a", 2))
    written = await contacts.write_all([VersionWrite(moved, 1, 6)])
    assert written["a"] is not None
    assert written["a"].activity == activity("a", 2).model_dump()
    assert (await stored(contacts, "a")).own == written["a"]
    await contacts.write_all([VersionWrite(version("a", 3), 2, 6)])
    assert (await stored(contacts, "a")).latest == version("a", 3)


async def test_a_write_over_a_version_that_may_be_unpublished_puts_it_in_the_outbox(contacts: Contacts) -> None:
    first = (await stored(contacts, "a")).own
    second = await contacts.write_all([VersionWrite(version("a", 2), 1, 5, first)])
    found = await stored(contacts, "a")
    assert (found.outbox, found.own) == ((first,), second["a"])
    assert found.unpublished(may_be_unpublished=True) == (first, second["a"])
    assert first is not None
    await contacts.published_all([("a", first)])
    assert (await stored(contacts, "a")).unpublished(may_be_unpublished=True) == (second["a"],)


async def test_a_group_write_reports_which_contacts_met_another_writer(contacts: Contacts) -> None:
    """a: a later fence; b: another version; c: nobody; d: it is there already."""
    await contacts.write_all(
        [FenceWrite("a", 1, 9), VersionWrite(version("b", 2, "theirs"), 1, 5), VersionWrite(version("d", 1), 0, 1)]
    )
    ours = [VersionWrite(version(key, 2, "ours"), 1, 6) for key in "abc"]
    assert set(await contacts.write_all([*ours, VersionWrite(version("d", 1, "ours"), 0, 6)])) == {"c"}
    notes = {key: each.contact.notes for key, each in (await contacts.load_all("abcd")).items() if each.contact}
    assert notes == {"a": "", "b": "theirs", "c": "ours", "d": ""}


async def test_a_fence_write_changes_only_the_fence(contacts: Contacts) -> None:
    before = await stored(contacts, "a")
    assert set(await contacts.write_all([FenceWrite("a", 1, 6), FenceWrite("b", 1, 4), FenceWrite("c", 2, 6)])) == {"a"}
    after = await stored(contacts, "a")
    assert (after.fence, after.contact, after.outbox) == (6, before.contact, before.outbox)


async def test_only_published_entries_leave_an_outbox(contacts: Contacts) -> None:
    for key in "abc":
        assert await contacts.write_edit(version(key, 2, "by hand"))
    assert await contacts.write_edit(version("a", 3, "by hand"))
    old, other = (await stored(contacts, "a")).outbox, (await stored(contacts, "b")).outbox
    await contacts.published_all([("a", old[0]), ("b", other[0])])
    assert (await stored(contacts, "a")).outbox == old[1:] != ()
    assert (await stored(contacts, "b")).outbox == ()
    assert (await stored(contacts, "c")).outbox != ()


async def test_an_edit_compares_only_the_version_and_keeps_the_fence(contacts: Contacts) -> None:
    left = (await stored(contacts, "a")).own
    assert await contacts.write_edit(version("a", 2, "by hand"), left)
    assert not await contacts.write_edit(version("a", 2, "again"))
    found = await stored(contacts, "a")
    assert (found.version, found.fence, found.own) == (2, 5, None)
    assert found.outbox == (left, entry_of(version("a", 2, "by hand")))
