"""Turns stored messages into what a person reads on a contact's page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from shared.contract.events import Direction
from shared.domain.messages import StoredMessage

KINDS = {
    "audio": "voice message", "fallback": "link", "file": "file", "image": "image", "ig_reel": "reel",
    "like_heart": "heart", "sticker": "sticker", "story_mention": "story mention", "video": "video",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DisplayedMessage:
    """One message. `marks` name what is not text; before `is_first_of_day` the page shows a line with the day."""

    message_id: str
    at: datetime
    is_customer: bool
    text: str
    marks: tuple[str, ...]
    reactions: tuple[str, ...]
    is_unsent: bool
    is_edited: bool
    is_first_of_day: bool = False


def displayed_messages(messages: Iterable[StoredMessage]) -> list[DisplayedMessage]:
    """Return the messages oldest first. One known only by a reaction has no time, so it is left out."""
    known = [message for message in messages if message.sent_at is not None]
    known.sort(key=lambda message: (message.sent_at, message.message_id))
    return list(_with_days(known))


def _with_days(messages: Iterable[StoredMessage]) -> Iterator[DisplayedMessage]:
    before = None
    for message in messages:
        if (at := message.sent_at) is None:
            continue
        yield _displayed(message, at, is_first_of_day=at.date() != before)
        before = at.date()


def _displayed(message: StoredMessage, at: datetime, *, is_first_of_day: bool) -> DisplayedMessage:
    is_unsent = message.deleted_at is not None
    return DisplayedMessage(
        message_id=message.message_id,
        at=at,
        is_customer=message.direction is not Direction.OUTBOUND,
        text="" if is_unsent or message.postback else (message.text or "").strip(),
        marks=() if is_unsent else tuple(_marks(message)),
        reactions=tuple(each.emoji or "reaction" for each in message.reactions.values() if each.action == "react"),
        is_unsent=is_unsent,
        is_edited=message.edit is not None and not is_unsent,
        is_first_of_day=is_first_of_day,
    )


def _marks(message: StoredMessage) -> Iterator[str]:
    if message.postback:
        yield f"pressed “{message.postback.title or message.text or 'a button'}”"
    content = message.content
    if content:
        for kind in dict.fromkeys(each.type for each in content.attachments):
            yield KINDS.get(kind, kind.replace("_", " "))
        if content.is_unsupported:
            yield "something that the platform does not show"
        if content.reply_to and content.reply_to.story_id:
            yield "reply to a story"
