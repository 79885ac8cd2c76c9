"""The directory is what the database says, whatever the topic told, did not tell, or told twice."""

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
from shared.store.contacts import entry_of
from tests.unit.console.fakes import Collection, FakeDatabase, erased, stored
from tests.unit.console.rows import NOON, contact
from tests.unit.console.test_broadcast import kinds

MARIA, JOSE = contact("1", "Maria", 72, version=3), contact("2", "José", 20, version=1)


class Desk:
    """A console's memory over a database."""

    def __init__(self, *contacts: Contact) -> None:
        self.database = FakeDatabase(*map(stored, contacts))
        self.contact_index, self.broadcast = ContactIndex(), Broadcast()
        self.updater = IndexUpdater(self.database.as_database(), self.contact_index, self.broadcast)

    @property
    def versions(self) -> dict[str, int]:
        return {contact_id.rpartition(":")[2]: version for contact_id, version in self.contact_index.versions().items()}

    def told(self, *contacts: Contact) -> None:
        for each in contacts:
            self.updater.apply_record(record(each))

    def heard_since(self, position: int) -> list[str]:
        return kinds(self.broadcast.events_after(position)[0])


def record(contact: Contact) -> Any:
    return SimpleNamespace(value=entry_of(Change(contact, (), None)).value, headers=())


def tombstone(*headers: tuple[str, bytes | None]) -> Any:
    return SimpleNamespace(value=None, headers=headers)


def newer(contact: Contact, version: int, name: str = "New") -> Contact:
    return contact.model_copy(update={"version": version, "name": contact.name.model_copy(update={"first": name})})


async def loaded(*contacts: Contact) -> Desk:
    desk = Desk(*contacts)
    await desk.updater.load()
    return desk


async def test_what_changes_while_all_is_read_is_there_in_its_newest_version() -> None:
    desk = await loaded(MARIA, JOSE)
    desk.told(MARIA, newer(MARIA, 4), MARIA, contact("3", "Ana", version=1))
    assert desk.versions == {"1": 4, "2": 1, "3": 1}


async def test_who_was_forgotten_before_the_console_began_does_not_come_back() -> None:
    desk = Desk(JOSE)
    desk.database.contacts.documents[MARIA.contact_id] = erased(MARIA.contact_id, 4)
    await desk.updater.load()
    desk.told(MARIA)
    assert desk.versions == {"2": 1}


async def test_a_tombstone_removes_and_is_told_as_such() -> None:
    desk = await loaded(MARIA)
    desk.updater.apply_record(tombstone(("ce_id", f"{MARIA.contact_id}#4".encode())))
    desk.told(MARIA)
    assert desk.versions == {}
    assert b'"forgotten":true' in desk.broadcast.events_after(0)[0]


async def test_what_cannot_be_understood_harms_nobody() -> None:
    desk = await loaded(MARIA)
    strange = [tombstone(), tombstone(("ce_id", None)), tombstone(("ce_id", b"\xff#1")), tombstone(("ce_id", b"x"))]
    for each in (*strange, SimpleNamespace(value=b"{", headers=()), SimpleNamespace(value=b"[1]", headers=())):
        desk.updater.apply_record(each)
    assert desk.versions == {"1": 3}


async def test_an_edit_through_the_console_is_told_to_open_pages_and_not_told_again_when_it_is_published() -> None:
    desk = await loaded(MARIA)
    edited = newer(MARIA, 4, "Edited")
    desk.contact_index.put(row_of(edited))
    desk.told(edited)
    assert desk.heard_since(0) == ["contact"]


async def test_reading_all_at_the_start_is_no_news_to_anyone() -> None:
    desk = await loaded(MARIA, JOSE)
    assert desk.heard_since(0) == []


async def test_what_the_topic_did_not_tell_is_found_in_the_database() -> None:
    desk = await loaded(MARIA, JOSE, contact("3"))
    documents = desk.database.contacts.documents
    documents[MARIA.contact_id] = stored(newer(MARIA, 9))
    documents[JOSE.contact_id] = erased(JOSE.contact_id, 2)
    del documents["messenger:371:3"]
    documents["messenger:371:4"] = stored(contact("4"))
    await desk.updater.compare()
    assert desk.versions == {"1": 9, "4": 1}
    assert desk.heard_since(0) == ["contact"] * 4
    await desk.updater.compare()
    assert desk.heard_since(4) == []


async def test_a_comparison_reads_again_only_who_differs() -> None:
    desk = await loaded(MARIA, JOSE)
    await desk.updater.compare()
    assert [query for query in desk.database.contacts.asked if query] == []


async def test_what_is_told_during_a_comparison_is_not_undone_by_it() -> None:
    desk = await loaded(MARIA, JOSE)
    documents = desk.database.contacts.documents
    documents[MARIA.contact_id] = erased(MARIA.contact_id, 4)

    def meanwhile() -> None:
        desk.told(newer(MARIA, 5), contact("5", version=1))

    desk.database.contacts.meanwhile = meanwhile
    await desk.updater.compare()
    assert desk.versions == {"1": 5, "2": 1, "5": 1}


async def test_a_comparison_that_the_database_cuts_off_is_made_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(index_updater, "COMPARE_SECONDS", 0)
    desk, stop = await loaded(MARIA), asyncio.Event()

    def cut_off() -> None:
        raise CursorNotFound("the cursor is not there any more", code=43)

    desk.database.contacts.meanwhile = cut_off
    comparing = asyncio.create_task(desk.updater.compare_periodically(stop))
    await until(lambda: len(desk.database.contacts.asked) > 3)
    stop.set()
    await comparing
    assert desk.versions == {"1": 3}


async def test_while_the_database_is_away_the_lists_follow_the_topic(monkeypatch: Any) -> None:
    monkeypatch.setattr(index_updater, "COMPARE_SECONDS", 0)
    desk, stop = await loaded(MARIA), asyncio.Event()
    desk.database.contacts.is_away = True
    comparing = asyncio.create_task(desk.updater.compare_periodically(stop))
    desk.told(newer(MARIA, 4))
    await until(lambda: len(desk.database.contacts.asked) > 3)
    stop.set()
    await comparing
    assert desk.versions == {"1": 4}


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0)


class Topic:
    """Hands out what it has, a poll at a time, and stops the reader behind it."""

    def __init__(self, stop: asyncio.Event, *polls: Sequence[Contact]) -> None:
        self._stop = stop
        self._polls = list(polls)

    async def getmany(self, **_limits: object) -> dict[str, list[Any]]:
        if not self._polls:
            self._stop.set()
            return {}
        return {"partition": [record(each) for each in self._polls.pop(0)]}


async def test_a_reader_that_was_cut_off_goes_on_and_one_that_is_sent_back_is_not_fooled() -> None:
    desk, stop = await loaded(MARIA), asyncio.Event()
    sent_back = [MARIA, newer(MARIA, 4), newer(MARIA, 5), newer(MARIA, 4)]
    await desk.updater.follow_topic(cast(Consumer, Topic(stop, [newer(MARIA, 4)], [], [], sent_back)), stop)
    assert desk.versions == {"1": 5}


def run(state: RunState, **more: Any) -> dict[str, Any]:
    fields = {"run_id": "r", "platform": "messenger", "account_id": "371", "created_at": NOON, **more}
    made = Run.model_validate({**fields, "state": state})
    return {"_id": "r", "active": made.finished_at is None, **made.model_dump()}


async def test_a_run_is_told_of_when_it_moves_and_once_when_it_has_ended() -> None:
    desk, moved = await loaded(), {"counters": RunCounters(conversations_read=1)}
    beating = {"started_at": NOON, "heartbeat_at": NOON}
    ended = {"finished_at": NOON, **beating}
    heard = []
    for state, more in (
        (RunState.QUEUED, {}), (RunState.QUEUED, {}), (RunState.RUNNING, beating), (RunState.RUNNING, moved | beating),
        (RunState.COMPLETED, moved | ended), (RunState.COMPLETED, moved | ended),
    ):  # fmt: skip
        before = desk.broadcast.events_after(0)[1]
        desk.database.sync_runs = Collection(run(state, **more))
        await desk.updater.broadcast_runs()
        heard.append(desk.heard_since(before))
    assert heard == [["run"], [], ["run"], ["run"], ["run"], []]


async def test_a_run_whose_worker_is_gone_and_one_that_waits_are_told_of_as_time_goes() -> None:
    desk = await loaded()
    throttled = {"started_at": NOON, "heartbeat_at": NOON, "throttled_until": NOON + timedelta(seconds=2)}
    desk.database.sync_runs = Collection(run(RunState.RUNNING, **throttled))
    for seconds, news in ((0, ["run"]), (0.1, []), (1, ["run"]), (2, ["run"]), (3, []), (9, ["run"]), (20, [])):
        before = desk.broadcast.events_after(0)[1]
        desk.database.now = NOON + timedelta(seconds=seconds)
        await desk.updater.broadcast_runs()
        assert desk.heard_since(before) == news, seconds
