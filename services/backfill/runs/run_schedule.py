"""Scheduled runs: one for each account with `every_seconds` whose last run was created that long ago.

After a run that Facebook ended with a warning there is none until a person starts or resumes one.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from shared.domain.accounts import Account
from shared.domain.runs import ACTIVE_STATES, Run
from shared.store.accounts import AccountStore
from shared.store.mongo import Database, server_time
from shared.store.runs import ActiveRunError, RunStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RunSchedule:
    database: Database
    accounts: AccountStore
    runs: RunStore

    async def enqueue_due(self) -> None:
        """Queue the runs that are due. Any number of workers may do this at once: each run is queued once."""
        now = await server_time(self.database)
        for account in [each for each in await self.accounts.all() if each.every_seconds]:
            last = await self.runs.newest_of(account)
            if _is_due(account, last, now):
                await self._enqueue_after(account, last)

    async def _enqueue_after(self, account: Account, last: Run | None) -> None:
        try:
            run = await self.runs.enqueue(account, successor_id(account, last))
        except ActiveRunError:
            return  # another worker has just queued it
        log.info("run_scheduled", run_id=run.run_id, account_id=account.account_id)


def successor_id(account: Account, last: Run | None) -> str:
    """Return the next run's id, the same for all workers that saw the same last run: `_id` then admits one of them,
    even if that run has ended before the other asks.
    """
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{account.key} after {last.run_id if last else 'none'}").hex


def _is_due(account: Account, last: Run | None, now: datetime) -> bool:
    if last is None:
        return True
    every = timedelta(seconds=account.every_seconds or 0)
    return not last.is_warned and last.state not in ACTIVE_STATES and now - last.created_at >= every
