"""What was said in conversations, read for a group of them at once: whole, and without what was forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from services.analyzer.analysis.analyst import Transcript
from services.analyzer.analysis.conversation import Conversation
from services.analyzer.analysis.transcript import build_transcript, fingerprint
from shared.contract.ids import content_hash
from shared.domain.messages import StoredMessage
from shared.store.erasures import Erasures
from shared.store.indexes import EPOCH
from shared.store.messages import MessageStore
from shared.store.mongo import Database

NOTHING = content_hash([])
MAX_GROUP_MESSAGES = 2_000
"""Messages of one group in memory, about 1.3 KB each. Conversations that have more between them are read one by one."""


@dataclass(frozen=True)
class LoadedConversation:
    """A conversation as it is now."""

    conversation: Conversation
    messages: tuple[StoredMessage, ...]

    @property
    def is_long(self) -> bool:
        """Whether going through it takes so long that leases and the consumer's group must go on meanwhile."""
        return len(self.messages) > MAX_GROUP_MESSAGES

    @property
    def has_message(self) -> bool:
        """Of a message that is known by a reaction or a deletion only, there is nothing to make a contact from."""
        return any(message.sent_at for message in self.messages)

    @property
    def has_unsent(self) -> bool:
        return any(message.deleted_at for message in self.messages)

    @cached_property
    def transcript(self) -> Transcript | None:
        return build_transcript(self.conversation.platform, self.messages)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.transcript) if self.transcript else NOTHING


class ConversationLoader:
    def __init__(self, database: Database) -> None:
        self._messages = MessageStore(database)
        self._forgotten = Erasures(database)

    async def of(
        self, conversations: Sequence[Conversation], limit: int | None = MAX_GROUP_MESSAGES
    ) -> dict[str, LoadedConversation] | None:
        """By key. None, and little is read, when they have more than `limit` messages between them."""
        keys = [conversation.key for conversation in conversations]
        messages, forgotten = await asyncio.gather(
            self._messages.of_conversations(keys, limit), self._forgotten.of(keys)
        )
        if messages is None:
            return None
        for key, at in forgotten.items():
            await self._forgotten.erase(key, at)
        readings = {each.key: _reading(each, messages[each.key], forgotten.get(each.key)) for each in conversations}
        for each in readings.values():
            if each.is_long:
                await asyncio.to_thread(lambda reading: reading.fingerprint, each)
        return readings


def _reading(
    conversation: Conversation, messages: Iterable[StoredMessage], forgotten_at: datetime | None
) -> LoadedConversation:
    """In order. What a batch that was under way has brought back of a customer who was forgotten is not there."""
    kept = [each for each in messages if not forgotten_at or (each.sent_at and each.sent_at > forgotten_at)]
    return LoadedConversation(
        conversation, tuple(sorted(kept, key=lambda each: (each.sent_at or EPOCH, each.message_id)))
    )
