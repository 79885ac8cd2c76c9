"""Events for measuring the analyzer: conversations of a shop and its customers, as the receiver writes them.

The texts are those of the simulator's corpus, in its languages. Each message ends with a number of its own, so that a
cache of texts makes nothing faster than with real messages. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from services.simulator.corpus import generate
from shared.contract.encoded_events import EncodedEvent
from shared.contract.events import Direction, Source, format_instant
from shared.contract.ids import ConversationKey, Platform, event_id, message_id

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
STORIES, ACCOUNTS = 300, 10
PARALLEL_CONVERSATIONS = 1_000
"""Interleaved conversations. With fewer, a batch would hold few conversations; with all, no two lines of one."""
MID_TAIL = "JWElrgbN2SLTPy4T42alAqnDpEjWCDd1skrJo9YDNmtF736xWTbZZqmFhdSWe9vLmv03rnyAHFh"
REACTION_EACH, EDIT_EACH, DELETION_EACH = 25, 50, 100
"""One of so many messages gets a reaction, an edit, a deletion."""


class Said(NamedTuple):
    inbound: bool
    text: str


@dataclass(frozen=True, slots=True)
class Traffic:
    conversations: int
    messages: int

    def drafts(self) -> Iterator[EncodedEvent]:
        """Yield the events of `PARALLEL_CONVERSATIONS` conversations in turn, then of the next ones."""
        for first in range(0, self.conversations, PARALLEL_CONVERSATIONS):
            for index in range(self.messages):
                for number in range(first, min(first + PARALLEL_CONVERSATIONS, self.conversations)):
                    yield from _told(number, index)

    def of_conversation(self, number: int) -> Iterator[EncodedEvent]:
        for index in range(self.messages):
            yield from _told(number, index)


def key_of(number: int) -> ConversationKey:
    account = 371000000000001 + number % ACCOUNTS
    return ConversationKey(Platform.MESSENGER, str(account), str(8130000000000000 + number))


def said(number: int, index: int) -> Said:
    """Return line `index` of conversation `number`; a conversation longer than its story repeats it."""
    story = stories()[number % STORIES]
    line = story[index % len(story)]
    return Said(line.inbound, f"{line.text} #{number}-{index}")


@lru_cache(1)
def stories() -> list[list[Said]]:
    corpus = generate(7, EPOCH, messenger=STORIES, instagram=0)
    (conversations,) = [found for found in corpus.conversations.values() if found]
    return [[Said(each.inbound, each.text) for each in found.messages] for found in conversations]


def sent_at(number: int, index: int) -> datetime:
    return EPOCH + timedelta(seconds=number % 3_600 + 37 * index, milliseconds=number % 1000)


def _told(number: int, index: int) -> Iterator[EncodedEvent]:
    yield _message(number, index)
    serial = number + index
    if serial % REACTION_EACH == 0:
        yield _about(number, index, "reaction", action="react", emoji="❤", reaction="love")
    if serial % EDIT_EACH == 1:
        yield _about(number, index, "edit", num_edit=1, text=f"{said(number, index).text}!")
    if serial % DELETION_EACH == 2:
        yield _about(number, index, "deletion")


def _message(number: int, index: int) -> EncodedEvent:
    return _about(number, index, "message", text=said(number, index).text)


def _about(number: int, index: int, kind: str, **fields: Any) -> EncodedEvent:
    key, mid = key_of(number), f"m_{number:07}{index:05}{MID_TAIL}"
    message = message_id(key.platform, key.account_id, mid)
    at = format_instant(sent_at(number, index) + timedelta(seconds=0 if kind == "message" else 5))
    own_id = event_id(kind, message)
    return EncodedEvent(
        kind,
        own_id,
        str(key),
        at,
        {
            "kind": kind,
            "event_id": own_id,
            "platform": key.platform.value,
            "account_id": key.account_id,
            "customer_id": key.customer_id,
            "direction": (Direction.INBOUND if said(number, index).inbound else Direction.OUTBOUND).value,
            "occurred_at": at,
            "received_at": at,
            "source": Source.WEBHOOK.value,
            "message_id": message,
            "mid": mid,
            **fields,
        },
    )
