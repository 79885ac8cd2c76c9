"""The work queue of analysis: conversations that are due, each leased to one worker at a time.

A claim compares and sets that nobody has a lease, so of many claimants one has the conversation; its fence is one more
than that of any before. All times are the server's. A worker that dies leaves `due_at` and a lease that runs out: the
conversation, and with it an unpublished version of its contact, is then claimed by another.

Claims are made, renewed and ended in groups: a write of many documents costs a fraction of many writes.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

import structlog

from services.analyzer.backlog import Backlog
from services.analyzer.conversation import Conversation
from services.analyzer.marks import Timing
from shared.conversations import LONG_AGO
from shared.events import Participant
from shared.ids import Platform
from shared.mongo import ConnectionFailure, Database, Document, server_time

log = structlog.get_logger()


class LeaseLostError(Exception):
    """Another worker may have the conversation: what is begun must have no effect any more."""


@dataclass(slots=True)
class Claim:
    """A conversation to work on. `revision` is what is going to be analysed: more may come meanwhile.

    `held_until` is by this process's monotonic clock and never later than the lease on the server. `group` is of those
    claimed together. `reanalyse`: whatever it said before. `tries`: how often the AI was asked in vain to make a
    fallback's analysis again; `is_again`: that is what it was claimed for.
    """

    conversation: Conversation
    revision: int
    fence: int
    held_until: float = field(compare=False)
    group: str = ""
    reanalyse: bool = False
    tries: int = 0
    is_again: bool = False

    @property
    def contact_id(self) -> str:
        return self.conversation.key

    @property
    def is_held(self) -> bool:
        """False when the lease may have run out, as after a long stall of the process."""
        return time.monotonic() < self.held_until

    def require_held(self) -> None:
        if not self.is_held:
            raise LeaseLostError(self.contact_id)


class Queue:
    """`again_ms` is how long a fallback's analysis waits to be made again; each further time twice as long, up to
    `LONGEST` times that."""

    LONGEST = 16

    def __init__(
        self, database: Database, owner: str, lease_seconds: float, timing: Timing, again_ms: int = 60_000
    ) -> None:
        self._database = database
        self._conversations = database.conversations
        self._owner = owner
        self.lease_seconds = lease_seconds
        self._timing = timing
        self._again_ms = again_ms
        self._backlog = Backlog(database.conversations)
        self._held: dict[str, Claim] = {}

    @property
    def held(self) -> int:
        """How many conversations this process has now."""
        return len(self._held)

    async def claim(self, limit: int) -> list[Claim]:
        """Up to `limit` due conversations, of each account in turns the longest due. None only says that none could
        be had now."""
        now = await server_time(self._database)
        await self._backlog.look(now, self._held)
        claims: list[Claim] = []
        while len(claims) < limit and (keys := self._backlog.take(limit - len(claims))):
            claims += await self._take(keys, "due_at", now)
        return claims

    async def claim_again(self, limit: int) -> list[Claim]:
        """As `claim`, of those that wait for the AI to analyse them again. They are due as any other from then on, so
        that what a crash leaves does not wait for the AI."""
        now = await server_time(self._database)
        waiting = {"again_at": {"$gte": LONG_AGO, "$lte": now}}
        found = await self._conversations.find(waiting, {"_id": True}).sort("again_at", 1).limit(limit).to_list(None)
        claims = await self._take([each["_id"] for each in found if each["_id"] not in self._held], "again_at", now)
        for claim in claims:
            claim.is_again = True
        return claims

    async def _take(self, keys: Sequence[str], why: str, now: datetime) -> list[Claim]:
        if not keys:
            return []
        group, held_until = secrets.token_hex(8), time.monotonic() + self.lease_seconds
        lease = {
            "owner": {"$literal": self._owner},
            "group": group,
            "revision": "$revision",
            "since": "$$NOW",
            "until": self._until(),
        }
        taken = {
            "fence": {"$add": [{"$ifNull": ["$fence", 0]}, 1]},
            "lease": lease,
            "due_at": {"$ifNull": ["$due_at", "$$NOW"]},
        }
        free = {
            "_id": {"$in": list(keys)},
            "lease.until": {"$not": {"$gt": now}},
            why: {"$gte": LONG_AGO, "$lte": now},
        }
        result = await self._conversations.update_many(free, [{"$set": taken}])
        if not result.matched_count:
            return []
        mine = self._conversations.find({"_id": {"$in": list(keys)}, "lease.group": group}, batch_size=len(keys) + 1)
        claims = [_claim(stored, held_until) async for stored in mine]
        self._held.update({claim.contact_id: claim for claim in claims})
        return claims

    async def renew(self) -> None:
        """Renews every lease of this process that has a third of its time behind it.

        A claim whose lease is another's, or that cannot be renewed in time, is not held any more.
        """
        before = time.monotonic() + self.lease_seconds * 2 / 3
        for group, claims in _by_group(claim for claim in self._held.values() if claim.held_until < before).items():
            held_until = time.monotonic() + self.lease_seconds
            mine = self._mine(group, claims)
            result = await self._conversations.update_many(mine, [{"$set": {"lease.until": self._until()}}])
            still = {claim.contact_id for claim in claims}
            if result.matched_count < len(claims):
                still = {stored["_id"] async for stored in self._conversations.find(mine, {"_id": True})}
            for claim in claims:
                claim.held_until = held_until if claim.contact_id in still else 0

    async def keep(self, claim: Claim) -> NoReturn:
        """For one conversation alone: renews until cancelled. LeaseLostError as soon as the lease is another's or
        cannot be renewed in time."""
        while True:
            await asyncio.sleep(self.lease_seconds / 3)
            held_until = time.monotonic() + self.lease_seconds
            try:
                renewed = [{"$set": {"lease.until": self._until()}}]
                result = await self._conversations.update_one(_fenced(claim), renewed)
            except ConnectionFailure:
                claim.require_held()
                continue
            if not result.matched_count:
                raise LeaseLostError(claim.contact_id)
            claim.held_until = held_until

    async def finish(self, claim: Claim) -> None:
        """Takes one conversation off the queue, or, where more has come meanwhile, leaves it due anew."""
        done = self._done({"$eq": ["$revision", claim.revision]}, None)
        await self._conversations.update_one(_fenced(claim), done)

    async def finish_all(self, claims: Sequence[Claim], *, is_again: bool = False) -> None:
        """As `finish`. With `is_again`, to be claimed again later for the AI."""
        by_tries: dict[int | None, list[Claim]] = defaultdict(list)
        for claim in claims:
            by_tries[claim.tries + claim.is_again if is_again else None].append(claim)
        for tries, of_tries in by_tries.items():
            for group, of_group in _by_group(of_tries).items():
                done = self._done({"$eq": ["$revision", "$lease.revision"]}, tries)
                await self._conversations.update_many(self._mine(group, of_group), done)

    def let_go(self, claims: Iterable[Claim]) -> None:
        """Of no more concern to this process: done, or left to run out."""
        for claim in claims:
            if self._held.get(claim.contact_id) is claim:
                del self._held[claim.contact_id]

    async def release_all(self) -> None:
        """Leaves what this process has to anyone at once. For its end: nothing of it may run any more."""
        for group, claims in _by_group(self._held.values()).items():
            await self._conversations.update_many(self._mine(group, claims), {"$unset": {"lease": ""}})

    def _done(self, is_all: dict[str, Any], tries: int | None) -> list[dict[str, Any]]:
        """`is_all` says whether nothing has come since the claim. What is asked again since then stays asked."""
        gone = "$$REMOVE"
        is_answered = {"$lte": ["$reanalyse_at", "$lease.since"]}
        again: dict[str, Any] = {"again_at": gone, "again_tries": gone}
        if tries is not None:
            wait = self._again_ms * min(2**tries, self.LONGEST)
            again = {"again_at": {"$add": ["$$NOW", wait]}, "again_tries": tries}
        return [
            {"$set": {"first_pending_at": {"$cond": [is_all, gone, "$lease.since"]}}},
            self._timing.due(),
            {"$set": {
                "due_at": {"$cond": [is_all, gone, "$due_at"]},
                "reanalyse_at": {"$cond": [is_answered, gone, "$reanalyse_at"]},
                **again,
            }},
            {"$unset": ["lease"]},
        ]  # fmt: skip

    @staticmethod
    def _mine(group: str, claims: Iterable[Claim]) -> dict[str, Any]:
        return {"_id": {"$in": [claim.contact_id for claim in claims]}, "lease.group": group}

    def _until(self) -> dict[str, Any]:
        return {"$add": ["$$NOW", round(self.lease_seconds * 1000)]}


def _fenced(claim: Claim) -> dict[str, Any]:
    return {"_id": claim.contact_id, "fence": claim.fence}


def _by_group(claims: Iterable[Claim]) -> dict[str, list[Claim]]:
    groups: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        groups[claim.group].append(claim)
    return groups


def _claim(stored: Document, held_until: float) -> Claim:
    return Claim(
        conversation=Conversation(
            key=stored["_id"],
            platform=Platform(stored["platform"]),
            account_id=stored["account_id"],
            customer_id=stored["customer_id"],
            participants=tuple(Participant.model_validate(each) for each in stored.get("participants", ())),
        ),
        revision=stored["revision"],
        fence=stored["fence"],
        held_until=held_until,
        group=stored["lease"]["group"],
        reanalyse="reanalyse_at" in stored,
        tries=stored.get("again_tries", 0),
    )
