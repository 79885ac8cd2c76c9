"""The analysis queue as one process uses it: claims, renews and finishes conversations, and knows which it holds.

The queue itself is `shared/store/conversations.py`, with its states. A worker that dies leaves `due_at` and a lease
that expires; then another worker claims the conversation. Claims are made, renewed and finished in groups.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import structlog

from services.analyzer.conversation import Conversation
from services.analyzer.queue.backlog import Backlog
from shared.contract.events import Participant
from shared.contract.ids import ConversationKey
from shared.store.conversation_updates import Timing
from shared.store.conversations import ConversationDocument, Conversations
from shared.store.mongo import ConnectionFailure, Database
from shared.store.server_clock import ClockReading, ServerClock

log = structlog.get_logger()


class LeaseLostError(Exception):
    """Another worker may have the conversation: nothing that was begun under the lease may have an effect any more."""


@dataclass(slots=True)
class Claim:
    """A conversation to work on. `revision` is the one to analyse; more events may come meanwhile.

    `held_until` is by this process's monotonic clock and never later than the lease on the server. `group` is the token
    of the conversations that were claimed together. `reanalyse`: a person asked for a new analysis. `is_ai_retry`: the
    AI is to score what the fallback has scored. `may_be_unpublished`: see `shared/store/contact_versions.py`.
    """

    conversation: Conversation
    revision: int
    fence: int
    held_until: float = field(compare=False)
    group: str = ""
    reanalyse: bool = False
    is_ai_retry: bool = False
    may_be_unpublished: bool = False

    @property
    def contact_id(self) -> str:
        return self.conversation.key

    @property
    def is_held(self) -> bool:
        """False when the lease may have expired, as after a long stall of the process."""
        return time.monotonic() < self.held_until

    def require_held(self) -> None:
        if not self.is_held:
            raise LeaseLostError(self.contact_id)


class ClaimQueue:
    def __init__(
        self, database: Database, owner: str, lease_seconds: float, timing: Timing, clock: ServerClock | None = None
    ) -> None:
        self._clock = clock or ServerClock(database)
        self._conversations = Conversations(database)
        self._owner = owner
        self.lease_seconds = lease_seconds
        self._timing = timing
        self._backlog = Backlog(self._conversations, self._clock)
        self._held: dict[str, Claim] = {}

    @property
    def held(self) -> int:
        """The number of conversations that this process holds."""
        return len(self._held)

    def notify_written(self, keys: Iterable[str]) -> None:
        """Take note that these were marked pending. Where that makes them due at once, the next claim finds them."""
        if self._timing.quiet_ms == 0:
            self._backlog.add(key for key in keys if key not in self._held)

    async def claim(self, limit: int) -> list[Claim]:
        """Claim up to `limit` due conversations, round-robin over accounts, longest overdue first.

        An empty list means that nothing could be claimed right now.
        """
        reading = await self._backlog.refresh(limit, self._held)
        claims: list[Claim] = []
        while len(claims) < limit and (keys := self._backlog.take(limit - len(claims))):
            claims += await self._claim(keys, reading, only_due=True)
        return claims

    async def claim_these(self, keys: Sequence[str]) -> list[Claim]:
        """Claim those of `keys` that nobody holds, due or not. They become due, so that a crash does not lose them."""
        reading = await self._clock.read()
        return await self._claim([key for key in keys if key not in self._held], reading, only_due=False)

    async def _claim(self, keys: Sequence[str], reading: ClockReading, *, only_due: bool) -> list[Claim]:
        """The lease counts from the clock's reading, so it ends too early rather than too late."""
        if not keys:
            return []
        held_until = reading.monotonic + self.lease_seconds
        claimed = await self._conversations.claim(keys, self._owner, reading.now, self.lease_seconds, only_due=only_due)
        claims = [_claim_of(stored, held_until) for stored in claimed]
        self._held.update({claim.contact_id: claim for claim in claims})
        return claims

    async def renew(self) -> None:
        """Renew every lease of this process that has used a third of its time.

        A claim is no longer held when its lease is another worker's, or cannot be renewed in time.
        """
        before = time.monotonic() + self.lease_seconds * 2 / 3
        old = [claim for claim in self._held.values() if claim.held_until < before]
        for group, claims in _by_group(old).items():
            held_until = time.monotonic() + self.lease_seconds
            renewed = await self._conversations.renew(group, _keys(claims), self.lease_seconds)
            for claim in claims:
                claim.held_until = held_until if claim.contact_id in renewed else 0

    async def renew_until_cancelled(self, claim: Claim) -> NoReturn:
        """Renew one lease until cancelled. LeaseLostError when it is another worker's or cannot be renewed in time."""
        while True:
            await asyncio.sleep(self.lease_seconds / 3)
            held_until = time.monotonic() + self.lease_seconds
            try:
                renewed = await self._conversations.renew(claim.group, [claim.contact_id], self.lease_seconds)
            except ConnectionFailure:
                claim.require_held()
                continue
            if not renewed:
                raise LeaseLostError(claim.contact_id)
            claim.held_until = held_until

    async def finish_all(self, claims: Sequence[Claim], *, is_answered: bool = True) -> None:
        """End the leases of claims of which everything is published.

        A conversation to which more has come since the claim stays pending. Unless `is_answered`, a person's request
        for a new analysis stays, for the next worker.
        """
        for group, of_group in _by_group(claims).items():
            revisions = {claim.contact_id: claim.revision for claim in of_group}
            await self._conversations.finish(group, revisions, self._timing, is_answered=is_answered)

    def forget_claims(self, claims: Iterable[Claim]) -> None:
        """Stop tracking these claims; their leases are finished or will expire."""
        for claim in claims:
            if self._held.get(claim.contact_id) is claim:
                del self._held[claim.contact_id]

    async def release_all(self) -> None:
        """Let all leases of this process expire, so that others claim the conversations at once.

        Only for the end of a process: none of its work may run any more.
        """
        for group, claims in _by_group(self._held.values()).items():
            await self._conversations.release(group, _keys(claims))


def log_lost_lease(claim: Claim) -> None:
    log.warning("lease_lost", contact_id=claim.contact_id, fence=claim.fence)


def is_still_held(claim: Claim) -> bool:
    """Return whether the claim is held, and log it when it is not."""
    if not claim.is_held:
        log_lost_lease(claim)
    return claim.is_held


def _keys(claims: Iterable[Claim]) -> list[str]:
    return [claim.contact_id for claim in claims]


def _by_group(claims: Iterable[Claim]) -> dict[str, list[Claim]]:
    groups: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        groups[claim.group].append(claim)
    return groups


def _claim_of(stored: ConversationDocument, held_until: float) -> Claim:
    """Platform and account come from the key: a document that only a backfill has written may be claimed as well."""
    participants = tuple(Participant.model_validate(each) for each in stored.get("participants", ()))
    return Claim(
        conversation=Conversation(stored["_id"], *ConversationKey.parse(stored["_id"]), participants),
        revision=stored["revision"],
        fence=stored["fence"],
        held_until=held_until,
        group=stored["lease"]["group"],
        reanalyse="reanalyse_at" in stored,
        may_be_unpublished="is_unsure" in stored["lease"],
    )
