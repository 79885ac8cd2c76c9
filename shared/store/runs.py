"""Backfill runs and their claims, in `sync_runs`."""

from __future__ import annotations

import os
import secrets
import socket
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from shared.domain.accounts import Account
from shared.domain.runs import ACTIVE_STATES, RESUMABLE_STATES, RUN_LEASE, Run, RunState, is_claimable
from shared.store.indexes import Index
from shared.store.mongo import Database, DuplicateKeyError, server_time

INDEXES = (
    Index("sync_runs", (("platform", 1), ("account_id", 1)), unique=True, where={"active": True}),
    Index("sync_runs", (("active", 1), ("created_at", 1)), where={"active": True}),
    Index("sync_runs", (("platform", 1), ("account_id", 1), ("created_at", -1))),
    Index("sync_runs", (("created_at", -1),)),
)
"""`active` is true while a run is QUEUED or RUNNING; the unique index allows one active run per account."""

CLAIMS_TRIED = 20
"""How many runs a claim tries when other processes claim them first, instead of the whole of a long queue."""

CANCELLED_BY_OPERATOR = "cancelled by the operator"
NOT_SAVED_FIELDS = {"heartbeat_at", "owner", "cancel_asked"}
"""Fields that `save` does not write: the first two are the claim, and another process writes the third."""


class ActiveRunError(Exception):
    """Another process has the account's active run, or has claimed this run meanwhile."""


class NotResumableError(Exception):
    """The run is COMPLETED, CANCELLED or active, so it cannot be resumed."""


class RunStore:
    """All times are the server's. A claim is a compare-and-set that writes a new owner, and every later write names
    that owner: a process that has lost its run can no longer write it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._runs = database.sync_runs

    async def enqueue(self, account: Account, run_id: str | None = None, *, is_anew: bool = False) -> Run:
        """Insert a run for any worker. ActiveRunError when the account has an active run or the id is taken."""
        now = await server_time(self._database)
        return await self._insert(account, run_id or uuid.uuid4().hex, now, {"is_anew": is_anew})

    async def begin(self, account: Account, *, is_anew: bool = False) -> Run:
        """Start a new run, or claim the account's queued or abandoned one. ActiveRunError when it is another process's.

        An abandoned run that was to be cancelled becomes CANCELLED, and a new one starts. ActiveRunError also when the
        existing run reads only changes and `is_anew` asks for everything: it may have skipped conversations already.
        """
        now = await server_time(self._database)
        claimed = {"state": RunState.RUNNING, "owner": _new_owner(), "started_at": now, "heartbeat_at": now}
        claimed["is_anew"] = is_anew
        try:
            return await self._insert(account, uuid.uuid4().hex, now, claimed)
        except ActiveRunError:
            of_account = {"platform": account.platform, "account_id": account.account_id, "active": True}
            stored = await self._runs.find_one(of_account)
            if stored is None:
                raise
        run = Run.model_validate(stored)
        if run.cancel_asked:
            await self._cancel_unowned(run.run_id)
            return await self._insert(account, uuid.uuid4().hex, now, claimed)
        if is_anew and not run.is_anew:
            raise ActiveRunError(f"run {run.run_id} of {account.key} reads only changes; cancel it first")
        if own := await self._claim(run, now):
            return own
        raise ActiveRunError(f"run {run.run_id} is backfilling {account.key}")

    async def claim(self) -> Run | None:
        """Claim the oldest queued or abandoned run, which becomes RUNNING; None if there is none."""
        now = await server_time(self._database)
        claimable = [{"state": RunState.QUEUED}, {"heartbeat_at": {"$lt": now - RUN_LEASE}}]
        oldest = self._runs.find({"active": True, "$or": claimable}).sort("created_at", 1).limit(CLAIMS_TRIED)
        for stored in await oldest.to_list(None):
            run = Run.model_validate(stored)
            if run.cancel_asked:
                await self._cancel_unowned(run.run_id)
            elif claimed := await self._claim(run, now):
                return claimed
        return None

    async def save(self, run: Run) -> bool:
        """Write `run` with a heartbeat and return whether it is to be cancelled. ActiveRunError when another process
        has claimed it or it has ended.
        """
        fields = run.model_dump(exclude=NOT_SAVED_FIELDS) | {"active": run.state in ACTIVE_STATES}
        await self._write(run, {"$set": fields, "$currentDate": {"heartbeat_at": True}})
        return (await self.get(run.run_id)).cancel_asked

    async def give_back(self, run: Run) -> None:
        """Requeue the run with its counters for the next claim. ActiveRunError as in `save`."""
        fields = run.model_dump(exclude=NOT_SAVED_FIELDS)
        queued = {"state": RunState.QUEUED, "since": await server_time(self._database)}
        await self._write(run, {"$set": fields | queued | {"owner": None, "heartbeat_at": None}})
        if (await self.get(run.run_id)).cancel_asked:
            await self._cancel_unowned(run.run_id)

    async def cancel(self, run_id: str) -> Run:
        """Ask the run's process to end it, or set it CANCELLED if no process has it. Return the run."""
        await self._runs.update_one({"_id": run_id, "active": True}, {"$set": {"cancel_asked": True}})
        await self._cancel_unowned(run_id)
        return await self.get(run_id)

    async def resume(self, run_id: str) -> Run:
        """Requeue a FAILED or PARTIAL run, which continues from its checkpoints.

        NotResumableError for other states; ActiveRunError when the account has another active run.
        """
        queued: dict[str, Any] = {
            "state": RunState.QUEUED, "active": True, "owner": None, "cancel_asked": False, "heartbeat_at": None,
            "since": await server_time(self._database), "finished_at": None, "reason": None, "failures": [],
            "throttled_until": None, "is_warned": False,
        }  # fmt: skip
        try:
            ended = {"_id": run_id, "state": {"$in": list(RESUMABLE_STATES)}}
            resumed = await self._runs.update_one(ended, {"$set": queued})
        except DuplicateKeyError:
            raise ActiveRunError("the account has another active run") from None
        run = await self.get(run_id)
        if not resumed.matched_count:
            raise NotResumableError(f"run {run_id} is {run.state}; FAILED and PARTIAL ones can be resumed")
        return run

    async def get(self, run_id: str) -> Run:
        """Return the run. KeyError when there is none."""
        stored = await self._runs.find_one({"_id": run_id})
        if stored is None:
            raise KeyError(run_id)
        return Run.model_validate(stored)

    async def newest(self, limit: int) -> list[Run]:
        stored = await self._runs.find({}).sort("created_at", -1).to_list(limit)
        return [Run.model_validate(each) for each in stored]

    async def active(self, also: Iterable[str] = ()) -> list[Run]:
        """Return the active runs, and the runs with the ids `also`."""
        found = self._runs.find({"$or": [{"active": True}, {"_id": {"$in": list(also)}}]})
        return [Run.model_validate(stored) async for stored in found]

    async def newest_of(self, account: Account) -> Run | None:
        of_account = {"platform": account.platform, "account_id": account.account_id}
        for stored in await self._runs.find(of_account).sort("created_at", -1).limit(1).to_list(1):
            return Run.model_validate(stored)
        return None

    async def with_id_prefix(self, prefix: str) -> list[Run]:
        """Return at most two runs whose id starts with `prefix`; two mean that it is not unique."""
        ids = {"$gte": prefix, "$lt": f"{prefix}\uffff"}
        stored = await self._runs.find({"_id": ids}).to_list(2)
        return [Run.model_validate(each) for each in stored]

    async def _insert(self, account: Account, run_id: str, now: datetime, fields: dict[str, Any]) -> Run:
        fields = {"state": RunState.QUEUED, "created_at": now, "since": now, **fields}
        run = Run(run_id=run_id, platform=account.platform, account_id=account.account_id, **fields)
        try:
            await self._runs.insert_one({"_id": run_id, "active": True, **run.model_dump()})
        except DuplicateKeyError:
            raise ActiveRunError(f"another run of {account.key} is active") from None
        return run

    async def _claim(self, run: Run, now: datetime) -> Run | None:
        claim = {"state": RunState.RUNNING, "owner": _new_owner(), "since": now, "started_at": run.started_at or now}
        update = {"$set": claim, "$currentDate": {"heartbeat_at": True}}
        if not is_claimable(run, now) or not (await self._runs.update_one(_unchanged(run), update)).matched_count:
            return None
        return run.model_copy(update=claim)

    async def _write(self, run: Run, update: dict[str, Any]) -> None:
        own = {"_id": run.run_id, "owner": run.owner, "active": True}
        if not (await self._runs.update_one(own, update)).matched_count:
            raise ActiveRunError(f"another process has claimed run {run.run_id}, or the run has ended")

    async def _cancel_unowned(self, run_id: str) -> None:
        run, now = await self.get(run_id), await server_time(self._database)
        if run.state in ACTIVE_STATES and is_claimable(run, now):
            end = {"state": RunState.CANCELLED, "active": False, "reason": CANCELLED_BY_OPERATOR, "finished_at": now}
            await self._runs.update_one(_unchanged(run), {"$set": end})


def _unchanged(run: Run) -> dict[str, Any]:
    """Return the filter for a run whose claim has not changed since it was read."""
    return {"_id": run.run_id, "state": run.state, "owner": run.owner, "heartbeat_at": run.heartbeat_at}


def _new_owner() -> str:
    """Return a new owner id for a claim: a process that claims a run again is another owner."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
