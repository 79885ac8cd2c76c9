"""Runs in `sync_runs`: which there are, and who is at which."""

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
"""`active` is true while a run is QUEUED or RUNNING: one active run per account, by the index."""

CLAIMS_TRIED = 20
"""One that others are quicker at is worth a look at the next, but not at all of a long queue."""

CANCELLED_BY_OPERATOR = "cancelled by the operator"
NOT_SAVED_FIELDS = {"heartbeat_at", "owner", "cancel_asked"}
"""What `save` leaves alone: the first two are how a run is held, and another process writes the third."""


class ActiveRunError(Exception):
    """The account has an active run that is another's, or the run at hand has become another's."""


class NotResumableError(Exception):
    """A run that is COMPLETED or CANCELLED stays it, and one that is active needs no resuming."""


class RunStore:
    """Times are the server's. A claim is a compare and set, and what it gave is written with its owner alone:
    a process that lost its run cannot write it any more.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._runs = database.sync_runs

    async def enqueue(self, account: Account, run_id: str | None = None, *, is_anew: bool = False) -> Run:
        """A new run for any worker. ActiveRunError when the account has one, or there is one with that id."""
        now, held = await server_time(self._database), {"is_anew": is_anew}
        return await self._insert(account, run_id or uuid.uuid4().hex, now, held)

    async def begin(self, account: Account, *, is_anew: bool = False) -> Run:
        """A new run, or the one that is queued or that a dead process left. ActiveRunError when another is at it.

        One that was left and is to be cancelled is CANCELLED, and a new one begins. One that reads only what has moved
        cannot become one that reads everything: it has read what it has read. ActiveRunError for that as well.
        """
        now = await server_time(self._database)
        held = {"state": RunState.RUNNING, "owner": _new_owner(), "started_at": now, "heartbeat_at": now}
        held["is_anew"] = is_anew
        try:
            return await self._insert(account, uuid.uuid4().hex, now, held)
        except ActiveRunError:
            of_account = {"platform": account.platform, "account_id": account.account_id, "active": True}
            stored = await self._runs.find_one(of_account)
            if stored is None:
                raise
        run = Run.model_validate(stored)
        if run.cancel_asked:
            await self._end_what_nobody_is_at(run.run_id)
            return await self._insert(account, uuid.uuid4().hex, now, held)
        if is_anew and not run.is_anew:
            raise ActiveRunError(f"run {run.run_id} of {account.key} reads only what has moved; cancel it first")
        if taken := await self._take(run, now):
            return taken
        raise ActiveRunError(f"run {run.run_id} is backfilling {account.key}")

    async def claim(self) -> Run | None:
        """The oldest run that is queued or that a dead process left, now RUNNING and the caller's; None for none."""
        now = await server_time(self._database)
        anyones = [{"state": RunState.QUEUED}, {"heartbeat_at": {"$lt": now - RUN_LEASE}}]
        oldest = self._runs.find({"active": True, "$or": anyones}).sort("created_at", 1).limit(CLAIMS_TRIED)
        for stored in await oldest.to_list(None):
            run = Run.model_validate(stored)
            if run.cancel_asked:
                await self._end_what_nobody_is_at(run.run_id)
            elif taken := await self._take(run, now):
                return taken
        return None

    async def save(self, run: Run) -> bool:
        """Writes `run` with a heartbeat; whether somebody asks for its cancellation. ActiveRunError when it is
        another process's by now, or has ended.
        """
        fields = run.model_dump(exclude=NOT_SAVED_FIELDS) | {"active": run.state in ACTIVE_STATES}
        await self._write(run, {"$set": fields, "$currentDate": {"heartbeat_at": True}})
        return (await self.get(run.run_id)).cancel_asked

    async def give_back(self, run: Run) -> None:
        """To whoever claims it next, with all that was counted. ActiveRunError as of `save`."""
        fields = run.model_dump(exclude=NOT_SAVED_FIELDS)
        queued = {"state": RunState.QUEUED, "since": await server_time(self._database)}
        await self._write(run, {"$set": fields | queued | {"owner": None, "heartbeat_at": None}})
        if (await self.get(run.run_id)).cancel_asked:
            await self._end_what_nobody_is_at(run.run_id)

    async def cancel(self, run_id: str) -> Run:
        """Asks the run's process to end it; where there is none, it is CANCELLED at once. The run as it then is."""
        await self._runs.update_one({"_id": run_id, "active": True}, {"$set": {"cancel_asked": True}})
        await self._end_what_nobody_is_at(run_id)
        return await self.get(run_id)

    async def resume(self, run_id: str) -> Run:
        """QUEUED again, to go on from its checkpoints. NotResumableError; ActiveRunError when another is active."""
        anew: dict[str, Any] = {
            "state": RunState.QUEUED, "active": True, "owner": None, "cancel_asked": False, "heartbeat_at": None,
            "since": await server_time(self._database), "finished_at": None, "reason": None, "failures": [],
            "throttled_until": None, "is_warned": False,
        }  # fmt: skip
        try:
            ended = {"_id": run_id, "state": {"$in": list(RESUMABLE_STATES)}}
            resumed = await self._runs.update_one(ended, {"$set": anew})
        except DuplicateKeyError:
            raise ActiveRunError("the account has another active run") from None
        run = await self.get(run_id)
        if not resumed.matched_count:
            raise NotResumableError(f"run {run_id} is {run.state}; FAILED and PARTIAL ones can be resumed")
        return run

    async def get(self, run_id: str) -> Run:
        """KeyError when there is none."""
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
        """The runs whose id begins with `prefix`: two at the most, which says that it is not unique."""
        ids = {"$gte": prefix, "$lt": f"{prefix}\uffff"}
        stored = await self._runs.find({"_id": ids}).to_list(2)
        return [Run.model_validate(each) for each in stored]

    async def _insert(self, account: Account, run_id: str, now: datetime, held: dict[str, Any]) -> Run:
        queued = {"state": RunState.QUEUED, "created_at": now, "since": now, **held}
        run = Run(run_id=run_id, platform=account.platform, account_id=account.account_id, **queued)
        try:
            await self._runs.insert_one({"_id": run_id, "active": True, **run.model_dump()})
        except DuplicateKeyError:
            raise ActiveRunError(f"another run of {account.key} is active") from None
        return run

    async def _take(self, run: Run, now: datetime) -> Run | None:
        mine = {"state": RunState.RUNNING, "owner": _new_owner(), "since": now, "started_at": run.started_at or now}
        beat = {"$set": mine, "$currentDate": {"heartbeat_at": True}}
        if not is_claimable(run, now) or not (await self._runs.update_one(_as_seen(run), beat)).matched_count:
            return None
        return run.model_copy(update=mine)

    async def _write(self, run: Run, update: dict[str, Any]) -> None:
        mine = {"_id": run.run_id, "owner": run.owner, "active": True}
        if not (await self._runs.update_one(mine, update)).matched_count:
            raise ActiveRunError(f"run {run.run_id} is another process's by now, or has ended")

    async def _end_what_nobody_is_at(self, run_id: str) -> None:
        run, now = await self.get(run_id), await server_time(self._database)
        if run.state in ACTIVE_STATES and is_claimable(run, now):
            end = {"state": RunState.CANCELLED, "active": False, "reason": CANCELLED_BY_OPERATOR, "finished_at": now}
            await self._runs.update_one(_as_seen(run), {"$set": end})


def _as_seen(run: Run) -> dict[str, Any]:
    """What must still be so when a run is taken."""
    return {"_id": run.run_id, "state": run.state, "owner": run.owner, "heartbeat_at": run.heartbeat_at}


def _new_owner() -> str:
    """One for each claim: a process that claims anew what it had lost is another owner."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
