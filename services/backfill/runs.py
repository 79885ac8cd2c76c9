"""Runs in `sync_runs`, and how far each conversation's history was read."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.backfill.normalise import Reading
from shared.accounts import Account
from shared.ids import ConversationKey
from shared.mongo import Database, DuplicateKeyError, server_time
from shared.runs import ACTIVE_STATES, Run, RunState

DEAD_AFTER = timedelta(seconds=30)
"""A run whose heart has not beaten for so long belongs to a process that is no more."""


class ActiveRunError(Exception):
    """Another process is backfilling this account."""


@dataclass(frozen=True, slots=True)
class History:
    """The checkpoint of a conversation that was read in full: by which run, and when it had last moved."""

    run_id: str
    updated_time: datetime | None


class RunStore:
    """One process's hand on runs: it cannot write one that another has taken over. Times are the server's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owner = uuid.uuid4().hex

    async def begin(self, account: Account) -> Run:
        """A new run, or the one that a dead process left. ActiveRunError when another process is at it."""
        now = await server_time(self._database)
        run = Run(
            run_id=uuid.uuid4().hex, platform=account.platform, account_id=account.account_id, state=RunState.RUNNING,
            created_at=now, started_at=now, heartbeat_at=now,
        )  # fmt: skip
        document = {"_id": run.run_id, "active": True, "owner": self._owner, **run.model_dump()}
        try:
            await self._database.sync_runs.insert_one(document)
        except DuplicateKeyError:
            return await self._take_over(account, now)
        return run

    async def _take_over(self, account: Account, now: datetime) -> Run:
        of_account = {"platform": account.platform, "account_id": account.account_id, "active": True}
        stored = await self._database.sync_runs.find_one(of_account)
        if stored is None:
            raise ActiveRunError(f"another run of {account.key} has just ended; try again")
        if stored["heartbeat_at"] is None or now - stored["heartbeat_at"] > DEAD_AFTER:
            seen = {"_id": stored["_id"], "owner": stored.get("owner"), "heartbeat_at": stored["heartbeat_at"]}
            mine = {"owner": self._owner, "state": RunState.RUNNING, "started_at": stored["started_at"] or now}
            beat = {"$set": mine, "$currentDate": {"heartbeat_at": True}}
            if (await self._database.sync_runs.update_one(seen, beat)).matched_count:
                return Run.model_validate({**stored, **mine})
        raise ActiveRunError(f"run {stored['_id']} is backfilling {account.key}")

    async def save(self, run: Run) -> None:
        """Writes `run` with a heartbeat. ActiveRunError when another process has taken it over, or it has ended."""
        fields = run.model_dump(exclude={"heartbeat_at"}) | {"active": run.state in ACTIVE_STATES}
        mine = {"_id": run.run_id, "owner": self._owner, "active": True}
        beat = {"$set": fields, "$currentDate": {"heartbeat_at": True}}
        if not (await self._database.sync_runs.update_one(mine, beat)).matched_count:
            raise ActiveRunError(f"run {run.run_id} is another process's by now")

    async def newest(self, limit: int) -> list[Run]:
        stored = await self._database.sync_runs.find({}).sort("created_at", -1).to_list(limit)
        return [Run.model_validate(each) for each in stored]

    async def beginning_with(self, prefix: str) -> list[Run]:
        """The runs whose id begins with `prefix`: two at the most, which says that it is not unique."""
        ids = {"$gte": prefix, "$lt": f"{prefix}\uffff"}
        stored = await self._database.sync_runs.find({"_id": ids}).to_list(2)
        return [Run.model_validate(each) for each in stored]

    async def history(self, key: ConversationKey) -> History | None:
        stored = await self._database.conversations.find_one({"_id": str(key)}, {"history": True})
        history = (stored or {}).get("history")
        return History(history["run_id"], history["updated_time"]) if history else None

    async def remember(self, reading: Reading, read: int, unavailable: int) -> None:
        """The checkpoint; made behind acknowledged events. `history` is this service's only field of the document."""
        history = {
            "thread_id": reading.listed.thread_id,
            "updated_time": reading.listed.updated_time,
            "run_id": reading.run_id,
            "messages": read,
            "unavailable": unavailable,
            "completed_at": await server_time(self._database),
        }
        identity = {"platform": reading.key.platform, "account_id": reading.key.account_id}
        update = {"$set": {"history": history}, "$setOnInsert": {**identity, "customer_id": reading.key.customer_id}}
        try:
            await self._upsert(reading.key, update)
        except DuplicateKeyError:  # the analyzer has inserted it meanwhile, so it can be updated now
            await self._upsert(reading.key, update)

    async def _upsert(self, key: ConversationKey, update: dict[str, Any]) -> None:
        await self._database.conversations.update_one({"_id": str(key)}, update, upsert=True)
