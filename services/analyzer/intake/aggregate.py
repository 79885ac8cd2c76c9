"""Writes a batch of events into the store: first the messages, then the conversations' marks.

Doing it again changes nothing but due times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

from shared.contract.events import ConversationCompletedEvent, ConversationListedEvent, Event
from shared.runtime.retry import retry_until_stopped
from shared.store.conversation_updates import Timing
from shared.store.conversations import Conversations
from shared.store.erasures import Erasures
from shared.store.messages import MessageStore
from shared.store.mongo import ConnectionFailure, Database
from shared.store.server_clock import ServerClock

MAX_MARKED_KEYS = 20_000
"""Conversations that are remembered to be in the store; 3 MB."""


class Aggregate:
    """Used through `apply` alone, by the intake, tests and benchmarks."""

    def __init__(
        self,
        database: Database,
        timing: Timing,
        erasures: Erasures | None = None,
        clock: ServerClock | None = None,
    ) -> None:
        self._messages = MessageStore(database)
        self._conversations = Conversations(database)
        self._timing = timing
        self._clock = clock or ServerClock(database)
        self._erasures = erasures or Erasures(database)
        self._marked: set[str] = set()

    async def apply(self, events: Sequence[Event]) -> None:
        """Return when every message is written and every conversation is marked; wait while the database is away.

        What was said of a customer before their erasure is left out. UnstorableError when the batch has a value that
        MongoDB cannot hold; the rest of the batch may be written then.
        """
        if not events:
            return
        wanted = await retry_until_stopped(lambda: self._without_erased(events), ConnectionFailure)
        await retry_until_stopped(lambda: self._messages.merge(wanted), ConnectionFailure)
        await retry_until_stopped(lambda: self._mark_pending(wanted), ConnectionFailure)

    async def _without_erased(self, events: Sequence[Event]) -> Sequence[Event]:
        erased = await self._erasures.of({str(event.conversation) for event in events})
        if not erased:
            return events
        return [
            event for event in events if (at := erased.get(str(event.conversation))) is None or _newest_fact(event) > at
        ]

    async def _mark_pending(self, events: Sequence[Event]) -> None:
        now = (await self._clock.read()).now
        by_conversation: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_conversation[str(event.conversation)].append(event)
        await self._conversations.mark_pending(by_conversation, self._timing, now, self._marked)
        self._remember(by_conversation)

    def _remember(self, keys: Collection[str]) -> None:
        if len(self._marked) + len(keys) > MAX_MARKED_KEYS:
            self._marked.clear()
        self._marked.update(keys)


def _newest_fact(event: Event) -> datetime:
    """Return the time of the newest fact in `event`. A listing event is made whenever history is read."""
    if isinstance(event, ConversationListedEvent | ConversationCompletedEvent):
        return event.updated_time or event.occurred_at
    return event.occurred_at
