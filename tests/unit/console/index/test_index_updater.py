"""The index equals the database, whatever the topic delivered, missed or repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from pymongo.errors import CursorNotFound

from services.console.index import index_updater
from services.console.index.broadcast import Broadcast
from services.console.index.contact_index import ContactIndex, row_of
from services.console.index.index_updater import IndexUpdater
from shared.bus.consumer import Consumer
from shared.contract.contacts import Change, Contact
from shared.domain.runs import Run, RunCounters, RunState
from shared.store.contact_versions import entry_of
from tests.unit.console.fakes import Collection, FakeDatabase, erased, stored
from tests.unit.console.index.test_broadcast import kinds
from tests.unit.console.rows import NOON, contact

MARIA, JOSE = contact("1", "Maria", 72, version=3), contact("2", "José", 20, version=1)


class Rig:
    """An index and its updater over a fake database."""

    def __init__(self, *contacts: Contact) -> None:
        self.database = FakeDatabase(*map(stored, contacts))
        self.contact_index, self.broadcast = ContactIndex(), Broadcast()
        self.updater = IndexUpdater(self.database.as_database(), self.contact_index, self.broadcast)

    @property
    def versions(self) -> dict[str, int]:
        return {contact_id.rpartition(":")[2]: version for contact_id, version in self.contact_index.versions().items()}

    def publish(self, *contacts: Contact) -> None:
        for each in contacts:
            self.updater.apply_record(record(each))

    def events_since(self, position: int) -> list[str]:
        return kinds(self.broadcast.events_after(position)[0])


def record(contact: Contact) -> Any:
    return SimpleNamespace(value=entry_of(Change(contact, (), None)).value, headers=())


def tombstone(*headers: tuple[str, bytes | None]) -> Any:
    return SimpleNamespace(value=None, headers=headers)


def newer(contact: Contact, version: int, name: str = "New") -> Contact:
    return contact.model_copy(update={"version": version, "name": contact.name.model_copy(update={"first": name})})


async def loaded(*contacts: Contact) -> Rig:
    rig = Rig(*contacts)
    await rig.updater.load()
    return rig


async def test_a_version_published_during_the_load_replaces_the_loaded_one() -> None:
    rig = await loaded(MARIA, JOSE)
    rig.publish(MARIA, newer(MARIA, 4), MARIA, contact("3", "Ana", version=1))
    assert rig.versions == {"1": 4, "2": 1, "3": 1}


async def test_a_contact_erased_before_the_start_does_not_return() -> None:
    rig = Rig(JOSE)
    rig.database.contacts.documents[MARIA.contact_id] = erased(MARIA.contact_id, 4)
    await rig.updater.load()
    rig.publish(MARIA)
    assert rig.versions == {"2": 1}


async def test_a_tombstone_removes_the_contact_and_is_broadcast() -> None:
    rig = await loaded(MARIA)
    rig.updater.apply_record(tombstone(("ce_id", f"{MARIA.contact_id}#4".encode())))
    rig.publish(MARIA)
    assert rig.versions == {}
    assert b'"forgotten":true' in rig.broadcast.events_after(0)[0]


async def test_a_record_that_is_not_valid_changes_nothing() -> None:
    rig = await loaded(MARIA)
    strange = [tombstone(), tombstone(("ce_id", None)), tombstone(("ce_id", b"\xff#1")), tombstone(("ce_id", b"x"))]
    for each in (*strange, SimpleNamespace(value=b"{", headers=()), SimpleNamespace(value=b"[1]", headers=())):
        rig.updater.apply_record(each)
    assert rig.versions == {"1": 3}


async def test_an_edit_is_broadcast_once_although_it_is_published_later() -> None:
    rig = await loaded(MARIA)
    edited = newer(MARIA, 4, "Edited")
    rig.contact_index.put(row_of(edited))
    rig.publish(edited)
    assert rig.events_since(0) == ["contact"]


async def test_loading_contacts_broadcasts_nothing() -> None:
    rig = await loaded(MARIA, JOSE)
    assert rig.events_since(0) == []


async def test_a_comparison_finds_what_the_topic_did_not_deliver() -> None:
    rig = await loaded(MARIA, JOSE, contact("3"))
    documents = rig.database.contacts.documents
    documents[MARIA.contact_id] = stored(newer(MARIA, 9))
    documents[JOSE.contact_id] = erased(JOSE.contact_id, 2)
    del documents["messenger:371:3"]
    documents["messenger:371:4"] = stored(contact("4"))
    await rig.updater.compare()
    assert rig.versions == {"1": 9, "4": 1}
    assert rig.events_since(0) == ["contact"] * 4
    await rig.updater.compare()
    assert rig.events_since(4) == []


async def test_a_comparison_reloads_only_contacts_that_differ() -> None:
    rig = await loaded(MARIA, JOSE)
    await rig.updater.compare()
    assert [query for query in rig.database.contacts.queries if query] == []


async def test_a_comparison_does_not_undo_versions_published_meanwhile() -> None:
    rig = await loaded(MARIA, JOSE)
    documents = rig.database.contacts.documents
    documents[MARIA.contact_id] = erased(MARIA.contact_id, 4)

    def meanwhile() -> None:
        rig.publish(newer(MARIA, 5), contact("5", version=1))

    rig.database.contacts.meanwhile = meanwhile
    await rig.updater.compare()
    assert rig.versions == {"1": 5, "2": 1, "5": 1}


async def test_a_comparison_that_fails_is_repeated(monkeypatch: Any) -> None:
    monkeypatch.setattr(index_updater, "COMPARE_SECONDS", 0)
    rig, stop = await loaded(MARIA), asyncio.Event()

    def cut_off() -> None:
        raise CursorNotFound("the cursor is not there any more", code=43)

    rig.database.contacts.meanwhile = cut_off
    comparing = asyncio.create_task(rig.updater.compare_periodically(stop))
    await until(lambda: len(rig.database.contacts.queries) > 3)
    stop.set()
    await comparing
    assert rig.versions == {"1": 3}


async def test_lists_follow_the_topic_while_the_database_is_unreachable(monkeypatch: Any) -> None:
    monkeypatch.setattr(index_updater, "COMPARE_SECONDS", 0)
    rig, stop = await loaded(MARIA), asyncio.Event()
    rig.database.contacts.is_away = True
    comparing = asyncio.create_task(rig.updater.compare_periodically(stop))
    rig.publish(newer(MARIA, 4))
    await until(lambda: len(rig.database.contacts.queries) > 3)
    stop.set()
    await comparing
    assert rig.versions == {"1": 4}


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0)


class Topic:
    """Returns one batch a poll, then stops the reader."""

    def __init__(self, stop: asyncio.Event, *polls: Sequence[Contact]) -> None:
        self._stop = stop
        self._polls = list(polls)

    async def getmany(self, **_limits: object) -> dict[str, list[Any]]:
        if not self._polls:
            self._stop.set()
            return {}
        return {"partition": [record(each) for each in self._polls.pop(0)]}


async def test_a_consumer_that_is_sent_back_does_not_restore_older_versions() -> None:
    rig, stop = await loaded(MARIA), asyncio.Event()
    sent_back = [MARIA, newer(MARIA, 4), newer(MARIA, 5), newer(MARIA, 4)]
    await rig.updater.follow_topic(cast(Consumer, Topic(stop, [newer(MARIA, 4)], [], [], sent_back)), stop)
    assert rig.versions == {"1": 5}


def run(state: RunState, **more: Any) -> dict[str, Any]:
    fields = {"run_id": "r", "platform": "messenger", "account_id": "371", "created_at": NOON, **more}
    made = Run.model_validate({**fields, "state": state})
    return {"_id": "r", "active": made.finished_at is None, **made.model_dump()}


async def test_a_run_is_broadcast_when_it_moves_and_once_when_it_ends() -> None:
    rig, moved = await loaded(), {"counters": RunCounters(conversations_read=1)}
    beating = {"started_at": NOON, "heartbeat_at": NOON}
    ended = {"finished_at": NOON, **beating}
    heard = []
    for state, more in (
        (RunState.QUEUED, {}), (RunState.QUEUED, {}), (RunState.RUNNING, beating), (RunState.RUNNING, moved | beating),
        (RunState.COMPLETED, moved | ended), (RunState.COMPLETED, moved | ended),
    ):  # fmt: skip
        before = rig.broadcast.events_after(0)[1]
        rig.database.sync_runs = Collection(run(state, **more))
        await rig.updater.broadcast_runs()
        heard.append(rig.events_since(before))
    assert heard == [["run"], [], ["run"], ["run"], ["run"], []]


async def test_a_throttled_run_and_one_whose_worker_died_are_broadcast_as_time_passes() -> None:
    rig = await loaded()
    throttled = {"started_at": NOON, "heartbeat_at": NOON, "throttled_until": NOON + timedelta(seconds=2)}
    rig.database.sync_runs = Collection(run(RunState.RUNNING, **throttled))
    for seconds, news in ((0, ["run"]), (0.1, []), (1, ["run"]), (2, ["run"]), (3, []), (9, ["run"]), (20, [])):
        before = rig.broadcast.events_after(0)[1]
        rig.database.now = NOON + timedelta(seconds=seconds)
        await rig.updater.broadcast_runs()
        assert rig.events_since(before) == news, seconds
