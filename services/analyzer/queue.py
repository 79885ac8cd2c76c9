"""The work queue of analysis: conversations that are due, each leased to one worker at a time.

A claim compares and sets what it has seen of fence and lease, so of two claimants, or of a claimant and a late
renewal, exactly one succeeds. All times are the server's. A worker that dies leaves `due_at` and a lease that runs
out: the conversation, and with it an unpublished version of its contact, is then claimed by another.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn

import structlog

from services.analyzer.conversation import Conversation
from services.analyzer.marks import Timing
from shared.events import Participant
from shared.ids import Platform
from shared.mongo import ConnectionFailure, Database, Document, server_time

log = structlog.get_logger()


class LeaseLostError(Exception):
    """Another worker may have the conversation: what is begun must have no effect any more."""


@dataclass(slots=True)
class Claim:
    """A conversation to work on. `revision` is what is going to be analysed: more may come meanwhile.

    `held_until` is by this process's monotonic clock and never later than the lease on the server.
    """

    conversation: Conversation
    revision: int
    fence: int
    held_until: float = field(compare=False)

    @property
    def contact_id(self) -> str:
        return self.conversation.key

    def require_held(self) -> None:
        """LeaseLostError when the lease may have run out, as after a long stall of the process."""
        if time.monotonic() >= self.held_until:
            raise LeaseLostError(self.contact_id)


class Queue:
    def __init__(self, database: Database, owner: str, lease_seconds: float, timing: Timing) -> None:
        self._database = database
        self._conversations = database.conversations
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._timing = timing

    async def claim(self, limit: int) -> list[Claim]:
        """Up to `limit` due conversations, the longest due first. None only says that none could be had now."""
        now = await server_time(self._database)
        free = {"due_at": {"$lte": now}, "lease.until": {"$not": {"$gt": now}}}
        found = await self._conversations.find(free).sort("due_at", 1).limit(limit).to_list(limit)
        return [claim for stored in found if (claim := await self._take(stored))]

    async def _take(self, stored: Document) -> Claim | None:
        held_until = time.monotonic() + self._lease_seconds
        fence = stored.get("fence", 0) + 1
        lease = {"owner": {"$literal": self._owner}, "since": "$$NOW", "until": self._until()}
        seen = {"_id": stored["_id"], "fence": stored.get("fence"), "lease.until": stored.get("lease", {}).get("until")}
        result = await self._conversations.update_one(seen, [{"$set": {"fence": fence, "lease": lease}}])
        if not result.matched_count:
            return None
        return Claim(_conversation(stored), stored["revision"], fence, held_until)

    async def keep(self, claim: Claim) -> NoReturn:
        """Renews until cancelled. LeaseLostError as soon as the lease is another's or cannot be renewed in time."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            await self._renew(claim)

    async def _renew(self, claim: Claim) -> None:
        held_until = time.monotonic() + self._lease_seconds
        try:
            result = await self._conversations.update_one(self._mine(claim), [{"$set": {"lease.until": self._until()}}])
        except ConnectionFailure:
            claim.require_held()
            return
        if not result.matched_count:
            raise LeaseLostError(claim.contact_id)
        claim.held_until = held_until

    async def finish(self, claim: Claim) -> None:
        """Takes the conversation off the queue, or, where more has come meanwhile, leaves it due anew."""
        done = {"due_at": "", "first_pending_at": "", "lease": ""}
        unchanged = {**self._mine(claim), "revision": claim.revision}
        result = await self._conversations.update_one(unchanged, {"$unset": done})
        if not result.matched_count:
            pending = {"$set": {"first_pending_at": "$lease.since"}}
            await self._conversations.update_one(
                self._mine(claim), [pending, self._timing.due(), {"$unset": ["lease"]}]
            )

    async def release_all(self) -> None:
        """Leaves what this owner has claimed to anyone at once. For its end: nothing of it may run any more."""
        mine = {"due_at": {"$exists": True}, "lease.owner": self._owner}
        await self._conversations.update_many(mine, {"$unset": {"lease": ""}})

    def _mine(self, claim: Claim) -> dict[str, Any]:
        return {"_id": claim.contact_id, "fence": claim.fence}

    def _until(self) -> dict[str, Any]:
        return {"$add": ["$$NOW", round(self._lease_seconds * 1000)]}


def _conversation(stored: Document) -> Conversation:
    return Conversation(
        key=stored["_id"],
        platform=Platform(stored["platform"]),
        account_id=stored["account_id"],
        customer_id=stored["customer_id"],
        participants=tuple(Participant.model_validate(each) for each in stored.get("participants", ())),
    )
