"""The work queue of analysis: conversations that are due, each leased to one worker at a time.

A claim compares and sets that nobody has a lease, so of many claimants one has the conversation; its fence is one more
than that of any before. All times are the server's. A worker that dies leaves `due_at` and a lease that runs out: the
conversation is then claimed by another. A lease is taken away when all is published, and by nothing else: who finds one
that has run out knows that the contact's version may not be.

Claims are made, renewed and ended in groups: a write of many documents costs a fraction of many writes.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import structlog

from services.analyzer.analysis.conversation import Conversation
from services.analyzer.queue.backlog import Backlog
from shared.contract.events import Participant
from shared.contract.ids import ConversationKey
from shared.store.conversation_updates import Timing
from shared.store.expressions import later
from shared.store.indexes import EPOCH
from shared.store.mongo import ConnectionFailure, Database, Document
from shared.store.server_clock import Seen, ServerClock

UNANSWERED = {"$unset": {"due_at": "", "first_pending_at": "", "lease": ""}}
DONE = {"$unset": {**UNANSWERED["$unset"], "reanalyse_at": ""}}
Key = TypeVar("Key", str, int)

log = structlog.get_logger()


class LeaseLostError(Exception):
    """Another worker may have the conversation: what is begun must have no effect any more."""


@dataclass(slots=True)
class Claim:
    """A conversation to work on. `revision` is what is going to be analysed: more may come meanwhile.

    `held_until` is by this process's monotonic clock and never later than the lease on the server. `group` is of those
    claimed together. `reanalyse`: whatever was found before. `is_again`: the AI is to score what the fallback scored.
    `is_unsure`: the contact that is there may not be published, since its writer has not come to an end.
    """

    conversation: Conversation
    revision: int
    fence: int
    held_until: float = field(compare=False)
    group: str = ""
    reanalyse: bool = False
    is_again: bool = False
    is_unsure: bool = False

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


class ClaimQueue:
    def __init__(
        self, database: Database, owner: str, lease_seconds: float, timing: Timing, clock: ServerClock | None = None
    ) -> None:
        self._clock = clock or ServerClock(database)
        self._conversations = database.conversations
        self._owner = owner
        self.lease_seconds = lease_seconds
        self._timing = timing
        self._backlog = Backlog(database, self._clock)
        self._held: dict[str, Claim] = {}

    @property
    def held(self) -> int:
        """How many conversations this process has now."""
        return len(self._held)

    def expect(self, keys: Iterable[str]) -> None:
        """What has just been marked need not be looked for where a mark makes it due at once."""
        if self._timing.quiet_ms == 0:
            self._backlog.expect(key for key in keys if key not in self._held)

    async def claim(self, limit: int) -> list[Claim]:
        """Up to `limit` due conversations, of each account in turns the longest due. None only says that none could
        be had now."""
        seen = await self._backlog.look(limit, self._held)
        claims: list[Claim] = []
        while len(claims) < limit and (keys := self._backlog.take(limit - len(claims))):
            is_due = {"due_at": {"$gte": EPOCH, "$lte": seen.now}}
            claims += await self._take(keys, seen, is_due, {})
        return claims

    async def claim_these(self, keys: Sequence[str]) -> list[Claim]:
        """Those of `keys` that nobody has, due or not. They are due then, so that a crash does not leave them lying."""
        seen = await self._clock.look()
        return await self._take([key for key in keys if key not in self._held], seen, {}, {"due_at": seen.now})

    async def _take(self, keys: Sequence[str], seen: Seen, where: Document, more: Document) -> list[Claim]:
        """Times are those of when the server's clock was last read: a lease ends too early rather than too late."""
        if not keys:
            return []
        group, held_until = secrets.token_hex(8), seen.at + self.lease_seconds
        until = seen.now + timedelta(seconds=self.lease_seconds)
        lease = {"owner": self._owner, "group": group, "since": seen.now, "until": until}
        taken = await self._lease({"_id": {"$in": list(keys)}, "lease": {"$exists": False}, **where}, lease, more)
        if taken < len(keys):
            expired = {"_id": {"$in": list(keys)}, "lease.until": {"$lte": seen.now}, **where}
            taken += await self._lease(expired, {**lease, "is_unsure": True}, more)
        if not taken:
            return []
        mine = self._conversations.find({"_id": {"$in": list(keys)}, "lease.group": group}, batch_size=len(keys) + 1)
        claims = [_claim(stored, held_until) async for stored in mine]
        self._held.update({claim.contact_id: claim for claim in claims})
        return claims

    async def _lease(self, where: Document, lease: Document, more: Document) -> int:
        update = {"$inc": {"fence": 1}, "$set": {"lease": lease, **more}}
        return (await self._conversations.update_many(where, update)).matched_count

    async def renew(self) -> None:
        """Renews every lease of this process that has a third of its time behind it.

        A claim whose lease is another's, or that cannot be renewed in time, is not held any more.
        """
        before = time.monotonic() + self.lease_seconds * 2 / 3
        old = [claim for claim in self._held.values() if claim.held_until < before]
        for group, claims in _by(lambda claim: claim.group, old).items():
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
                held = {**_fenced(claim), "lease": {"$exists": True}}
                result = await self._conversations.update_one(held, renewed)
            except ConnectionFailure:
                claim.require_held()
                continue
            if not result.matched_count:
                raise LeaseLostError(claim.contact_id)
            claim.held_until = held_until

    async def finish(self, claim: Claim) -> None:
        """Takes one conversation off the queue, or, where more has come meanwhile, leaves it due anew."""
        result = await self._conversations.update_one({**_fenced(claim), "revision": claim.revision}, DONE)
        if not result.matched_count:
            await self._conversations.update_one(_fenced(claim), self._due_anew())

    async def finish_all(self, claims: Sequence[Claim], *, is_answered: bool = True) -> None:
        """As `finish`. Most of what waits together is of one revision. Without `is_answered` a person's wish to have
        them analysed anew stays with them, for whoever looks at them next."""
        for group, of_group in _by(lambda claim: claim.group, claims).items():
            done = 0
            for revision, alike in _by(lambda claim: claim.revision, of_group).items():
                unchanged = {**self._mine(group, alike), "revision": revision}
                end = DONE if is_answered else UNANSWERED
                done += (await self._conversations.update_many(unchanged, end)).matched_count
            if done < len(of_group):
                anew = self._due_anew(is_answered=is_answered)
                await self._conversations.update_many(self._mine(group, of_group), anew)

    def let_go(self, claims: Iterable[Claim]) -> None:
        """Of no more concern to this process: done, or left to run out."""
        for claim in claims:
            if self._held.get(claim.contact_id) is claim:
                del self._held[claim.contact_id]

    async def release_all(self) -> None:
        """Leaves what this process has to anyone at once, as a lease that has run out. For its end: nothing of it may
        run any more."""
        for group, claims in _by(lambda claim: claim.group, self._held.values()).items():
            await self._conversations.update_many(self._mine(group, claims), {"$set": {"lease.until": EPOCH}})

    def _due_anew(self, *, is_answered: bool = True) -> list[dict[str, Any]]:
        """What was asked since the claim stays asked, and what is not answered."""
        is_over = {"$lte": ["$reanalyse_at", "$lease.since"]}
        asked = {"$set": {"reanalyse_at": {"$cond": [is_over, "$$REMOVE", "$reanalyse_at"]}}}
        return [
            {"$set": {"first_pending_at": "$lease.since"}},
            self._timing.due(),
            *([asked] if is_answered else []),
            {"$unset": ["lease"]},
        ]

    @staticmethod
    def _mine(group: str, claims: Iterable[Claim]) -> dict[str, Any]:
        return {"_id": {"$in": [claim.contact_id for claim in claims]}, "lease.group": group}

    def _until(self) -> dict[str, Any]:
        return later("$$NOW", round(self.lease_seconds * 1000))


def lost(claim: Claim) -> None:
    log.warning("lease_lost", contact_id=claim.contact_id, fence=claim.fence)


def is_still_held(claim: Claim) -> bool:
    """Of one that is not, the log is told: nothing more is done about it here."""
    if not claim.is_held:
        lost(claim)
    return claim.is_held


def _fenced(claim: Claim) -> dict[str, Any]:
    return {"_id": claim.contact_id, "fence": claim.fence}


def _by(key: Callable[[Claim], Key], claims: Iterable[Claim]) -> dict[Key, list[Claim]]:
    groups: dict[Key, list[Claim]] = defaultdict(list)
    for claim in claims:
        groups[key(claim)].append(claim)
    return groups


def _claim(stored: Document, held_until: float) -> Claim:
    """Also of a document that only a backfill's checkpoint has made so far: a person may ask for any to be analysed."""
    participants = tuple(Participant.model_validate(each) for each in stored.get("participants", ()))
    return Claim(
        conversation=Conversation(stored["_id"], *ConversationKey.parse(stored["_id"]), participants),
        revision=stored["revision"],
        fence=stored["fence"],
        held_until=held_until,
        group=stored["lease"]["group"],
        reanalyse="reanalyse_at" in stored,
        is_unsure="is_unsure" in stored["lease"],
    )
