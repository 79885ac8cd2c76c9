"""Keeps the directory at what the database says, and tells open pages what changed.

Versions come by `contact-updated`, from where it stood before the database was read: none is missed in between, and
one that is told twice is no news. What the topic does not tell any more, for it was away, made anew or compacted, is
found by a comparison with the database now and then.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import structlog

from services.console.accounts.run_progress import progress_of
from services.console.index.broadcast import Broadcast
from services.console.index.contact_index import ContactIndex, Row, row_of, row_of_document
from shared.bus.consumer import Consumer
from shared.contract.contacts import load_contact_updated
from shared.domain.runs import Run
from shared.store.mongo import Database, Document, PyMongoError, server_time

POLL_MS = 500
MAX_POLLED_RECORDS = 100
"""Records heard at a time, so that pages are served in between."""
RUNS_SECONDS = 1.0
COMPARE_SECONDS = 600.0
RELOAD_BATCH_SIZE = 500
ROW_FIELDS = {
    "version": True, "forgotten_at": True, "contact_id": True, "platform": True, "account_id": True,
    "customer_id": True, "name": True, "analysis.lead_score": True, "analysis.lead_status": True,
    "analysis.source": True, "analysis.summary": True, "lead_status": True, "stage": True, "emails": True,
    "phones": True, "tags": True, "last_inbound_at": True, "last_outbound_at": True,
}  # fmt: skip
"""The fields of a contact that a row is made of, and of one that was forgotten what is left."""

log = structlog.get_logger()


class IndexUpdater:
    def __init__(self, database: Database, contact_index: ContactIndex, broadcast: Broadcast) -> None:
        self._database = database
        self._contact_index = contact_index
        self._broadcast = broadcast
        self._runs: dict[str, object] = {}

    async def load(self) -> None:
        """All there is. To be done before anything is served."""
        async for stored in self._database.contacts.find({}, ROW_FIELDS):
            self._apply_stored(stored)
        self._contact_index.ordered("score", descending=True)  # what is asked for first
        self._contact_index.on_change = self._broadcast_change
        log.info("contacts_loaded", contacts=len(self._contact_index))

    async def follow_topic(self, consumer: Consumer, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for records in (await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_POLLED_RECORDS)).values():
                for record in records:
                    self.apply_record(record)
            await asyncio.sleep(0)

    def apply_record(self, record: Any) -> None:
        """A version, or the tombstone of who was forgotten, whose version stands in its id."""
        try:
            if record.value:
                self._contact_index.put(row_of(load_contact_updated(record.value).contact))
            else:
                contact_id, _, version = (dict(record.headers)["ce_id"] or b"").decode().rpartition("#")
                self._contact_index.remove(contact_id, int(version))
        except (KeyError, ValueError) as error:
            log.warning("contact_update_not_understood", error=type(error).__name__)

    async def compare_periodically(self, stop: asyncio.Event) -> None:
        while not await ends(stop, COMPARE_SECONDS):
            try:
                await self.compare()
            except PyMongoError as error:
                log.warning("database_unreachable", error=type(error).__name__)

    async def compare(self) -> None:
        """Looks into those whose version in the database is another than ours was before."""
        known = self._contact_index.versions()
        left, different = dict(known), list[str]()
        async for stored in self._database.contacts.find({}, {"version": True, "forgotten_at": True}, batch_size=1000):
            if left.pop(stored["_id"], 0) != (0 if "forgotten_at" in stored else stored["version"]):
                different.append(stored["_id"])
        different += left
        for start in range(0, len(different), RELOAD_BATCH_SIZE):
            await self._reload(different[start : start + RELOAD_BATCH_SIZE], known)

    async def _reload(self, contact_ids: list[str], known: dict[str, int]) -> None:
        """Who is not in the database at all is gone in the version that we knew; a later one is news."""
        missing = set(contact_ids)
        async for stored in self._database.contacts.find({"_id": {"$in": contact_ids}}, ROW_FIELDS):
            missing.remove(stored["_id"])
            self._apply_stored(stored)
        for contact_id in missing & known.keys():
            self._contact_index.remove(contact_id, known[contact_id])

    def _apply_stored(self, stored: Document) -> None:
        if "forgotten_at" in stored:
            self._contact_index.remove(stored["_id"], stored["version"])
        else:
            self._contact_index.put(row_of_document(stored))

    def _broadcast_change(self, contact_id: str, version: int, row: Row | None) -> None:
        told: dict[str, object] = {"id": contact_id, "version": version}
        if row is None:
            told |= {"forgotten": True}
        else:
            told |= {"score": row.score, "status": row.status, "stage": row.stage, "name": row.name}
        self._broadcast.send("contact", told)

    async def follow_runs(self, stop: asyncio.Event) -> None:
        """Only while somebody watches."""
        while not await ends(stop, RUNS_SECONDS):
            if self._broadcast.listeners:
                try:
                    await self.broadcast_runs()
                except PyMongoError as error:
                    log.warning("database_unreachable", error=type(error).__name__)

    async def broadcast_runs(self) -> None:
        """Tells of those that are active, and once more of those that were so last time, where they look different."""
        found = self._database.sync_runs.find({"$or": [{"active": True}, {"_id": {"$in": list(self._runs)}}]})
        runs = [Run.model_validate(stored) async for stored in found]
        if not runs:
            return
        now = await server_time(self._database)
        shown = {run.run_id: _shown(run, now) for run in runs}
        for run in runs:
            if shown[run.run_id] != self._runs.get(run.run_id):
                self._broadcast.send("run", {"id": run.run_id, "state": run.state, **run.counters.model_dump()})
        self._runs = {run.run_id: shown[run.run_id] for run in runs if run.finished_at is None}


def _shown(run: Run, now: datetime) -> object:
    """While a run must wait, the time that is left is news each second."""
    progress = progress_of(run, now)
    waits = (round(progress.throttled_seconds), progress.is_left, progress.is_unclaimed)
    return run.state, run.counters, run.cancel_asked, waits


async def ends(stop: asyncio.Event, seconds: float) -> bool:
    """Whether it is time to end, at the latest after so long."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
