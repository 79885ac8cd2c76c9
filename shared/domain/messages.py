"""The stored state of a message, as a fold over events in any order. Pure.

`fold` is commutative and idempotent: each part of the state is the maximum, under a total order, of everything that
was reported. So any interleaving of webhook and backfill, any duplication and any replay gives the same state
(promise 3). A deletion removes content that comes before or after it (promise 9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import orjson
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from shared.contract.events import (
    Attachment,
    DeletionEvent,
    Direction,
    EditEvent,
    Event,
    Instant,
    MessageEvent,
    MessageScopedEvent,
    PostbackEvent,
    ReactionEvent,
    Referral,
    ReplyTo,
    Source,
)
from shared.contract.ids import Platform

CONFIG = ConfigDict(extra="ignore", hide_input_in_errors=True)
"""Config of the dataclasses below. They take two fifths of a model's memory; conversations are loaded whole."""


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class Content:
    """The content of a message as one source reports it."""

    text: str | None = None
    attachments: tuple[Attachment, ...] = ()
    reply_to: ReplyTo | None = None
    quick_reply: str | None = None
    sticker_id: str | None = None
    referral: Referral | None = None
    is_unsupported: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.text or self.attachments or self.sticker_id)


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class MessageReport:
    """The newest report of a message by one source."""

    received_at: Instant
    content: Content
    sender_name: str | None = None
    sender_username: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class Postback:
    title: str | None = None
    payload: str | None = None
    referral: Referral | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class MessageEdit:
    at: Instant
    number: int = 0
    text: str | None = None


class TimeSource(StrEnum):
    """Where a message's time comes from, most exact first: Graph has whole seconds, an edit comes later."""

    WEBHOOK = "webhook"
    POSTBACK = "postback"
    BACKFILL = "backfill"
    EDIT = "edit"


TIME_SOURCES = tuple(TimeSource)


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class Reaction:
    at: Instant
    action: str
    emoji: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class StoredMessage:
    """One document of `messages`. It may be incomplete: a reaction can come before its message."""

    message_id: str
    conversation: str
    platform: Platform
    account_id: str
    customer_id: str
    mid: str = Field(description="the platform's own id, for Graph API calls")
    direction: Direction | None = Field(default=None, description="unknown while only a reaction or deletion is known")
    times: dict[TimeSource, Instant] = Field(default_factory=dict, description="the earliest time by source")
    webhook: MessageReport | None = None
    backfill: MessageReport | None = None
    postback: Postback | None = None
    edit: MessageEdit | None = None
    reactions: dict[Direction, Reaction] = Field(default_factory=dict, description="the newest of each side")
    deleted_at: Instant | None = None

    @property
    def sent_at(self) -> datetime | None:
        return next((self.times[source] for source in TIME_SOURCES if source in self.times), None)

    @property
    def text(self) -> str | None:
        """The newest text: an edit's, else the Graph API's (read later than the webhook), else the webhook's."""
        candidates = (
            self.edit and self.edit.text,
            self.backfill and self.backfill.content.text,
            self.webhook and self.webhook.content.text,
        )
        return next((text for text in candidates if text), None)

    @property
    def content(self) -> Content | None:
        """Attachments and references: the webhook's if it has any, as it has more details than the Graph API."""
        reports = [report.content for report in (self.webhook, self.backfill) if report]
        return next((content for content in reports if not content.is_empty), reports[0] if reports else None)


_messages = TypeAdapter(StoredMessage)
_reports: TypeAdapter[MessageReport | Postback] = TypeAdapter(MessageReport | Postback)


def document(message: StoredMessage) -> dict[str, Any]:
    """Return the MongoDB document: with `_id`, and with `sent_at` for the index."""
    fields = _messages.dump_python(message, exclude_none=True, exclude={"message_id"})
    return {"_id": message.message_id, "sent_at": message.sent_at, **fields}


def from_document(stored: dict[str, Any]) -> StoredMessage:
    return _messages.validate_python({**stored, "message_id": stored["_id"]})


def message_of(event: Event) -> str | None:
    """Return the id of the message that `event` is about; None for other events."""
    if isinstance(event, MessageScopedEvent | PostbackEvent):
        return event.message_id
    return None


def fold(state: StoredMessage | None, event: MessageScopedEvent | PostbackEvent) -> StoredMessage:
    """Return `state` with what `event` adds. ValueError when `event` has no message id. Equal states compare equal."""
    if event.message_id is None or event.mid is None:
        raise ValueError(f"{event.event_id} is not about a message")
    known = state or EMPTY_MESSAGE
    update: dict[str, Any] = {"mid": max(known.mid, event.mid, key=lambda mid: (len(mid), mid))}
    match event:
        case MessageEvent():
            update |= _sent(known, event, TimeSource(event.source)) | {event.source.value: _report(known, event)}
        case PostbackEvent():
            pressed = Postback(title=event.title, payload=event.payload, referral=event.referral)
            update |= _sent(known, event, TimeSource.POSTBACK) | {
                "postback": _greatest(known.postback, pressed, _canonical)
            }
        case EditEvent():
            edit = MessageEdit(at=event.occurred_at, number=event.num_edit or 0, text=event.text)
            update |= _sent(known, event, TimeSource.EDIT) | {"edit": _greatest(known.edit, edit, _edit_rank)}
        case ReactionEvent():
            reaction = Reaction(at=event.occurred_at, action=event.action, emoji=event.emoji or event.reaction)
            kept = _greatest(known.reactions.get(event.direction), reaction, _reaction_rank)
            update["reactions"] = {**known.reactions, event.direction: kept}
        case DeletionEvent():
            update["deleted_at"] = min(filter(None, (known.deleted_at, event.occurred_at)))
    if known.deleted_at or "deleted_at" in update:
        update |= DELETED_FIELDS
    return replace(state, **update) if state else StoredMessage(**_identity(event), **update)


def fold_all(events: Iterable[Event]) -> dict[str, StoredMessage]:
    """Return the messages of `events` by id: the reference for what must be stored."""
    return fold_into({}, events)


def fold_into(states: dict[str, StoredMessage], events: Iterable[Event]) -> dict[str, StoredMessage]:
    """Fold `events` into `states`, by message id, in place, and return it."""
    for event in events:
        if isinstance(event, MessageScopedEvent | PostbackEvent) and event.message_id:
            states[event.message_id] = fold(states.get(event.message_id), event)
    return states


def _identity(event: MessageScopedEvent | PostbackEvent) -> dict[str, Any]:
    return {
        "message_id": event.message_id,
        "conversation": str(event.conversation),
        "platform": event.platform,
        "account_id": event.account_id,
        "customer_id": event.customer_id,
    }


def _sent(state: StoredMessage, event: MessageScopedEvent | PostbackEvent, source: TimeSource) -> dict[str, Any]:
    """Return the fields for time and side. An edit comes from the message's sender, so it gives the side as well."""
    earliest = min(filter(None, (state.times.get(source), event.occurred_at)))
    side = max(filter(None, (state.direction, event.direction)))
    return {"times": {**state.times, source: earliest}, "direction": side}


def _report(state: StoredMessage, event: MessageEvent) -> MessageReport:
    content = Content(
        text=event.text,
        attachments=event.attachments,
        reply_to=event.reply_to,
        quick_reply=event.quick_reply,
        sticker_id=event.sticker_id,
        referral=event.referral,
        is_unsupported=event.is_unsupported,
    )
    new = MessageReport(
        received_at=event.received_at,
        content=content,
        sender_name=event.sender_name,
        sender_username=event.sender_username,
    )
    known = state.webhook if event.source is Source.WEBHOOK else state.backfill
    is_tie = known and _report_rank(known) == _report_rank(new)
    return _greatest(known, new, _canonical if is_tie else _report_rank)


Part = TypeVar("Part", MessageReport, Postback, MessageEdit, Reaction)


def _greatest(known: Part | None, new: Part, rank: Callable[[Part], Any]) -> Part:
    return new if known is None else max(known, new, key=rank)


def _canonical(report: MessageReport | Postback) -> bytes:
    return orjson.dumps(_reports.dump_python(report, mode="json"), option=orjson.OPT_SORT_KEYS)


def _report_rank(report: MessageReport) -> tuple[bool, datetime]:
    """A later report wins, but one without content never replaces one with it (promise 4)."""
    return (not report.content.is_empty, report.received_at)


def _edit_rank(edit: MessageEdit) -> tuple[bool, int, datetime, str]:
    return (edit.text is not None, edit.number, edit.at, edit.text or "")


def _reaction_rank(reaction: Reaction) -> tuple[datetime, str, str]:
    return (reaction.at, reaction.action, reaction.emoji or "")


DELETED_FIELDS: dict[str, Any] = {"webhook": None, "backfill": None, "postback": None, "edit": None, "reactions": {}}
"""What a deletion removes. Time and side stay, as they order the transcript."""
EMPTY_MESSAGE = StoredMessage(
    message_id="", conversation="", platform=Platform.MESSENGER, account_id="", customer_id="", mid=""
)
"""The state of a message before any event."""
