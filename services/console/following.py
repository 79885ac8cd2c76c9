"""Keeps the directory at what the database says, and tells open pages what changed.

Versions come by `contact-updated`, from where it stood before the database was read: none is missed in between, and
one that is told twice is no news.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog

from services.console.broadcast import Broadcast
from services.console.directory import Directory, Row, row_of, row_of_document
from shared.contacts import load_contact_updated
from shared.kafka_groups import Consumer
from shared.mongo import ConnectionFailure, Database
from shared.runs import Run

POLL_MS = 500
RUNS_SECONDS = 1.0
LISTED = {
    "_id": False, "contact_id": True, "version": True, "platform": True, "account_id": True, "customer_id": True,
    "name": True, "analysis.lead_score": True, "analysis.lead_status": True, "analysis.source": True,
    "analysis.summary": True, "lead_status": True, "stage": True, "emails": True, "phones": True, "tags": True,
    "last_inbound_at": True, "last_outbound_at": True,
}  # fmt: skip
"""The fields of a contact that a row is made of."""

log = structlog.get_logger()


class Following:
    def __init__(self, database: Database, directory: Directory, broadcast: Broadcast) -> None:
        self._database = database
        self._directory = directory
        self._broadcast = broadcast
        self._runs: dict[str, Run] = {}

    async def load(self) -> None:
        """All there is. To be done before anything is served."""
        async for stored in self._database.contacts.find({"forgotten_at": {"$exists": False}}, LISTED):
            self._directory.put(row_of_document(stored))
        self._directory.ordered("score", descending=True)  # what is asked for first
        log.info("contacts_loaded", contacts=len(self._directory))

    async def follow_topic(self, consumer: Consumer, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    self._hear(record)

    def _hear(self, record: Any) -> None:
        """A version, or the tombstone of who was forgotten, whose version stands in its id."""
        try:
            if record.value:
                self._put(row_of(load_contact_updated(record.value).contact))
            else:
                contact_id, _, version = dict(record.headers)["ce_id"].decode().rpartition("#")
                self._remove(contact_id, int(version))
        except (KeyError, ValueError) as error:
            log.warning("contact_update_not_understood", error=type(error).__name__)

    async def follow_runs(self, stop: asyncio.Event) -> None:
        """Only while somebody watches."""
        while not await ends(stop, RUNS_SECONDS):
            if self._broadcast.listeners:
                try:
                    await self._look_at_runs()
                except ConnectionFailure as error:
                    log.warning("database_unreachable", error=type(error).__name__)

    async def _look_at_runs(self) -> None:
        found = self._database.sync_runs.find({"$or": [{"active": True}, {"_id": {"$in": list(self._runs)}}]})
        runs = [Run.model_validate(stored) async for stored in found]
        for run in runs:
            if _shown(run) != _shown(self._runs.get(run.run_id)):
                told = {"id": run.run_id, "state": run.state, **run.counters.model_dump()}
                self._broadcast.send("run", told)
        self._runs = {run.run_id: run for run in _still_active(runs)}

    def _put(self, row: Row) -> None:
        if self._directory.put(row):
            told = {"id": row.contact_id, "version": row.version, "score": row.score, "status": row.status}
            self._broadcast.send("contact", {**told, "stage": row.stage, "name": row.name})

    def _remove(self, contact_id: str, version: int) -> None:
        if self._directory.remove(contact_id, version):
            self._broadcast.send("contact", {"id": contact_id, "version": version, "forgotten": True})


def _shown(run: Run | None) -> object:
    return run and (run.state, run.counters, run.throttled_until, run.cancel_asked)


def _still_active(runs: Iterable[Run]) -> Iterable[Run]:
    return (run for run in runs if run.finished_at is None)


async def ends(stop: asyncio.Event, seconds: float) -> bool:
    """Whether it is time to end, at the latest after so long."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
