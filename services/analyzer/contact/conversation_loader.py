"""Reads the messages of a group of conversations at once: whole, and without what was erased."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from services.analyzer.analysis.analyst import Transcript
from services.analyzer.analysis.transcript import build_transcript, fingerprint
from services.analyzer.conversation import Conversation
from shared.contract.ids import content_hash
from shared.domain.messages import StoredMessage
from shared.store.erasures import Erasures
from shared.store.indexes import EPOCH
from shared.store.messages import MessageStore
from shared.store.mongo import Database

EMPTY_FINGERPRINT = content_hash([])
MAX_GROUP_MESSAGES = 2_000
"""Messages of one group in memory, about 1.3 KB each. Conversations that have more in all are read one by one."""


@dataclass(frozen=True)
class LoadedConversation:
    """A conversation as it is now."""

    conversation: Conversation
    messages: tuple[StoredMessage, ...]

    @property
    def is_long(self) -> bool:
        """Whether reading it takes so long that it must not block leases and the consumer group's heartbeats."""
        return len(self.messages) > MAX_GROUP_MESSAGES

    @property
    def has_message(self) -> bool:
        """Whether there is a message with a time. A message known only by a reaction or a deletion makes no contact."""
        return any(message.sent_at for message in self.messages)

    @property
    def has_deleted(self) -> bool:
        return any(message.deleted_at for message in self.messages)

    @cached_property
    def transcript(self) -> Transcript | None:
        return build_transcript(self.conversation.platform, self.messages)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.transcript) if self.transcript else EMPTY_FINGERPRINT


class ConversationLoader:
    def __init__(self, database: Database) -> None:
        self._messages = MessageStore(database)
        self._erasures = Erasures(database)

    async def load(
        self, conversations: Sequence[Conversation], limit: int | None = MAX_GROUP_MESSAGES
    ) -> dict[str, LoadedConversation] | None:
        """Return the conversations by key; None, after reading little, when they have more than `limit` messages."""
        keys = [conversation.key for conversation in conversations]
        messages, erased = await asyncio.gather(self._messages.of_conversations(keys, limit), self._erasures.of(keys))
        if messages is None:
            return None
        for key, at in erased.items():
            await self._erasures.erase(key, at)
        loaded = {each.key: _loaded(each, messages[each.key], erased.get(each.key)) for each in conversations}
        for each in loaded.values():
            if each.is_long:
                await asyncio.to_thread(lambda conversation: conversation.fingerprint, each)
        return loaded


def _loaded(
    conversation: Conversation, messages: Iterable[StoredMessage], erased_at: datetime | None
) -> LoadedConversation:
    """Order the messages and leave out what was erased: a batch that was being written may have brought it back."""
    kept = [each for each in messages if not erased_at or (each.sent_at and each.sent_at > erased_at)]
    return LoadedConversation(
        conversation, tuple(sorted(kept, key=lambda each: (each.sent_at or EPOCH, each.message_id)))
    )
