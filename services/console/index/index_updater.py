"""Keeps the contact index equal to the database, and broadcasts changes to open pages.

Versions arrive by `contact-updated`, read from the end of the topic as of before the database was read: none is missed
in between, and one that arrives twice changes nothing. What the topic no longer delivers (it was compacted, recreated
or cut off for too long) is found by a regular comparison with the database.
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
from shared.runtime.service import stopped_within
from shared.store.contacts import Contacts, is_stub
from shared.store.mongo import Database, Document, PyMongoError, server_time
from shared.store.runs import RunStore

POLL_MS = 500
MAX_POLLED_RECORDS = 100
"""Records applied at a time, so that pages are served in between."""
RUNS_SECONDS = 1.0
COMPARE_SECONDS = 600.0
RELOAD_BATCH_SIZE = 500
ROW_FIELDS = {
    "version": True, "forgotten_at": True, "contact_id": True, "platform": True, "account_id": True,
    "customer_id": True, "name": True, "analysis.lead_score": True, "analysis.lead_status": True,
    "analysis.source": True, "analysis.summary": True, "lead_status": True, "stage": True, "emails": True,
    "phones": True, "tags": True, "last_inbound_at": True, "last_outbound_at": True,
}  # fmt: skip
"""The stored fields that a row is made from, and those that an erased contact keeps."""

log = structlog.get_logger()


class IndexUpdater:
    def __init__(self, database: Database, contact_index: ContactIndex, broadcast: Broadcast) -> None:
        self._database = database
        self._contacts = Contacts(database)
        self._contact_index = contact_index
        self._broadcast = broadcast
        self._runs: dict[str, object] = {}

    async def load(self) -> None:
        """Read all contacts. Call it before pages are served."""
        async for stored in self._contacts.documents(ROW_FIELDS):
            self._apply_stored(stored)
        self._contact_index.ordered("score", descending=True)  # sorts the default order before the first request
        self._contact_index.on_change = self._broadcast_change
        log.info("contacts_loaded", contacts=len(self._contact_index))

    async def follow_topic(self, consumer: Consumer, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for records in (await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_POLLED_RECORDS)).values():
                for record in records:
                    self.apply_record(record)
            await asyncio.sleep(0)

    def apply_record(self, record: Any) -> None:
        """Apply a version of a contact, or the tombstone of an erased one, whose version is in its id."""
        try:
            if record.value:
                self._contact_index.put(row_of(load_contact_updated(record.value).contact))
            else:
                contact_id, _, version = (dict(record.headers)["ce_id"] or b"").decode().rpartition("#")
                self._contact_index.remove(contact_id, int(version))
        except (KeyError, ValueError) as error:
            log.warning("contact_update_not_understood", error=type(error).__name__)

    async def compare_periodically(self, stop: asyncio.Event) -> None:
        while not await stopped_within(stop, COMPARE_SECONDS):
            try:
                await self.compare()
            except PyMongoError as error:
                log.warning("database_unreachable", error=type(error).__name__)

    async def compare(self) -> None:
        """Reload the contacts whose version differs from the database's."""
        known = self._contact_index.versions()
        left, different = dict(known), list[str]()
        async for stored in self._contacts.documents({"version": True, "forgotten_at": True}):
            if left.pop(stored["_id"], 0) != (0 if is_stub(stored) else stored["version"]):
                different.append(stored["_id"])
        different += left
        for start in range(0, len(different), RELOAD_BATCH_SIZE):
            await self._reload(different[start : start + RELOAD_BATCH_SIZE], known)

    async def _reload(self, contact_ids: list[str], known: dict[str, int]) -> None:
        """Reload contacts. One that is not stored is removed as of its `known` version; a later one still counts."""
        missing = set(contact_ids)
        async for stored in self._contacts.documents(ROW_FIELDS, contact_ids):
            missing.remove(stored["_id"])
            self._apply_stored(stored)
        for contact_id in missing & known.keys():
            self._contact_index.remove(contact_id, known[contact_id])

    def _apply_stored(self, stored: Document) -> None:
        if is_stub(stored):
            self._contact_index.remove(stored["_id"], stored["version"])
        else:
            self._contact_index.put(row_of_document(stored))

    def _broadcast_change(self, contact_id: str, version: int, row: Row | None) -> None:
        fields: dict[str, object] = {"id": contact_id, "version": version}
        if row is None:
            fields |= {"forgotten": True}
        else:
            fields |= {"score": row.score, "status": row.status, "stage": row.stage, "name": row.name}
        self._broadcast.send("contact", fields)

    async def follow_runs(self, stop: asyncio.Event) -> None:
        """Broadcast changes of runs while pages are open."""
        while not await stopped_within(stop, RUNS_SECONDS):
            if self._broadcast.listeners:
                try:
                    await self.broadcast_runs()
                except PyMongoError as error:
                    log.warning("database_unreachable", error=type(error).__name__)

    async def broadcast_runs(self) -> None:
        """Broadcast each active run whose shown state changed, and each run that has ended since the last call."""
        runs = await RunStore(self._database).active(self._runs)
        if not runs:
            return
        now = await server_time(self._database)
        shown = {run.run_id: _shown(run, now) for run in runs}
        for run in runs:
            if shown[run.run_id] != self._runs.get(run.run_id):
                self._broadcast.send("run", {"id": run.run_id, "state": run.state, **run.counters.model_dump()})
        self._runs = {run.run_id: shown[run.run_id] for run in runs if run.finished_at is None}


def _shown(run: Run, now: datetime) -> object:
    """Return what a page shows of a run. While the run is throttled, the remaining time changes each second."""
    progress = progress_of(run, now)
    waits = (round(progress.throttled_seconds), progress.is_abandoned, progress.is_unclaimed)
    return run.state, run.counters, run.cancel_asked, waits
