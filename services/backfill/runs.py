"""Runs in `sync_runs`, and how far each conversation's history was read."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from services.backfill.normalise import Reading
from shared.accounts import Account
from shared.clock import Clock
from shared.mongo import Database, DuplicateKeyError
from shared.runs import ACTIVE_STATES, Run, RunState

DEAD_AFTER = timedelta(seconds=30)
"""A run whose heart has not beaten for so long belongs to a process that is no more."""


class ActiveRunError(Exception):
    """Another process is backfilling this account."""


class RunStore:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._runs = database.sync_runs
        self._conversations = database.conversations
        self._clock = clock

    async def begin(self, account: Account) -> Run:
        """A new run, or the one that a dead process left. ActiveRunError when another process is at it."""
        now = self._clock()
        run = Run(
            run_id=uuid.uuid4().hex, platform=account.platform, account_id=account.account_id, state=RunState.RUNNING,
            created_at=now, started_at=now, heartbeat_at=now,
        )  # fmt: skip
        try:
            await self._runs.insert_one({"_id": run.run_id, "active": True, **run.model_dump()})
        except DuplicateKeyError:
            return await self._take_over(account, now)
        return run

    async def _take_over(self, account: Account, now: datetime) -> Run:
        mine = {"platform": account.platform, "account_id": account.account_id, "active": True}
        stored = await self._runs.find_one(mine)
        if stored is None:
            raise ActiveRunError("another run has just ended; try again")
        seen: dict[str, Any] = {"_id": stored["_id"], "heartbeat_at": stored["heartbeat_at"]}
        if stored["heartbeat_at"] is None or now - stored["heartbeat_at"] > DEAD_AFTER:
            claimed = await self._runs.update_one(seen, {"$set": {"heartbeat_at": now, "state": RunState.RUNNING}})
            if claimed.matched_count:
                return Run.model_validate(stored)
        raise ActiveRunError(f"run {stored['_id']} is backfilling this account")

    async def save(self, run: Run) -> None:
        fields = run.model_dump() | {"active": run.state in ACTIVE_STATES, "heartbeat_at": self._clock()}
        await self._runs.update_one({"_id": run.run_id}, {"$set": fields})

    async def newest(self, limit: int) -> list[Run]:
        stored = await self._runs.find({}).sort("created_at", -1).to_list(limit)
        return [Run.model_validate(each) for each in stored]

    async def get(self, run_id: str) -> Run | None:
        stored = await self._runs.find_one({"_id": run_id})
        return Run.model_validate(stored) if stored else None

    async def is_unchanged(self, reading: Reading) -> bool:
        """Whether the conversation has not moved since it was last read in full."""
        if reading.listed.updated_time is None:
            return False
        stored = await self._conversations.find_one({"_id": str(reading.key)}, {"history": True})
        history = (stored or {}).get("history")
        return bool(history and history["updated_time"] == reading.listed.updated_time)

    async def remember(self, reading: Reading, read: int, unavailable: int) -> None:
        """The checkpoint; made behind acknowledged events. `history` is this service's only field of the document."""
        history = {
            "thread_id": reading.listed.thread_id,
            "updated_time": reading.listed.updated_time,
            "run_id": reading.run_id,
            "messages": read,
            "unavailable": unavailable,
            "completed_at": self._clock(),
        }
        identity = {"platform": reading.key.platform, "account_id": reading.key.account_id}
        await self._conversations.update_one(
            {"_id": str(reading.key)},
            {"$set": {"history": history}, "$setOnInsert": {**identity, "customer_id": reading.key.customer_id}},
            upsert=True,
        )
