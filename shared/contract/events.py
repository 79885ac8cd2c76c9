"""What happened in a conversation, as published on `message-events`. The only definition of that contract. Pure.

Values are JSON; CloudEvents 1.0 binary mode in the record's headers. A reader must ignore fields it does not know
and kinds it does not know: both may be added within version 1 (`ce_type` ends in `.v1`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, TypeAdapter

from shared.contract.ids import ConversationKey, Platform

TYPE_PREFIX = "leadstream"
Header = tuple[str, bytes]


def _read_instant(value: object) -> datetime:
    """What `format_instant` writes is read by Python's own parser: times were half of what decoding an event took."""
    try:
        if type(value) is str and len(value) == 24 and value[19] == "." and value[23] == "Z":
            return datetime.fromisoformat(value)
        return _to_utc_ms(_datetimes.validate_python(value))
    except ValueError:
        raise ValueError("not a time with an offset") from None  # the error's own text quotes what was there


def _to_utc_ms(value: datetime) -> datetime:
    if value.tzinfo is UTC and not value.microsecond % 1000:  # as it is where it was read once already
        return value
    if value.tzinfo is None:
        raise ValueError
    utc = value.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


@lru_cache(64)
def format_instant(value: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2024-08-12T18:16:49.684Z`."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


_datetimes = TypeAdapter(datetime)

Instant = Annotated[
    datetime,
    PlainValidator(_read_instant, json_schema_input_type=datetime),
    PlainSerializer(format_instant, return_type=str, when_used="json"),
]
"""A UTC time with millisecond precision, the finest that Facebook gives and MongoDB keeps."""


class Direction(StrEnum):
    INBOUND = "inbound"  # from the customer
    OUTBOUND = "outbound"  # from the business


class Source(StrEnum):
    WEBHOOK = "webhook"
    BACKFILL = "backfill"


class ContractModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Attachment(ContractModel):
    """`type` as Facebook names it (image, video, audio, file, sticker, template, fallback, story_mention, …)."""

    type: str
    url: str | None = None
    title: str | None = None
    payload: dict[str, Any] = Field(default_factory=dict, description="what else the platform said of it, as it came")


class ReplyTo(ContractModel):
    """What a message answers: another message, or a story."""

    mid: str | None = None
    story_id: str | None = None
    story_url: str | None = None


class Referral(ContractModel):
    """How the customer came here: an ad, a link, a product."""

    ref: str | None = None
    source: str | None = None
    type: str | None = None
    ad_id: str | None = None
    payload: dict[str, Any] = Field(default_factory=dict, description="what else the platform said of it, as it came")


class Participant(ContractModel):
    id: str
    name: str | None = None
    username: str | None = None


class EventBase(ContractModel):
    event_id: str = Field(description="deterministic: the same fact has the same id, from either producer")
    platform: Platform
    account_id: str
    customer_id: str
    direction: Direction
    occurred_at: Instant = Field(description="by the platform's clock")
    received_at: Instant = Field(description="when this system read it; differs between reports of one fact")
    source: Source
    run_id: str | None = Field(default=None, description="the backfill run that read it")

    @property
    def conversation(self) -> ConversationKey:
        return ConversationKey(self.platform, self.account_id, self.customer_id)


class MessageScopedEvent(EventBase):
    message_id: str = Field(description="platform:account_id:mid, equal from webhook and Graph")
    mid: str = Field(description="as the platform wrote it, for calls")


class MessageEvent(MessageScopedEvent):
    kind: Literal["message"] = "message"
    text: str | None = None
    attachments: tuple[Attachment, ...] = ()
    reply_to: ReplyTo | None = None
    quick_reply: str | None = Field(default=None, description="payload of the quick reply that was chosen")
    sticker_id: str | None = None
    referral: Referral | None = None
    app_id: str | None = Field(default=None, description="the app that sent an outbound message")
    is_unsupported: bool = False
    standby: bool = Field(default=False, description="seen while another app held the conversation")
    sender_name: str | None = None
    sender_username: str | None = None


class EditEvent(MessageScopedEvent):
    """`text` is absent in Instagram's live notices, which carry only the number of the edit (FACEBOOK.md §2.4)."""

    kind: Literal["edit"] = "edit"
    num_edit: int | None = None
    text: str | None = None


class DeletionEvent(MessageScopedEvent):
    """The sender took the message back: its content must go from every store (promise 9)."""

    kind: Literal["deletion"] = "deletion"


class ReactionEvent(MessageScopedEvent):
    """`direction` is that of the person who reacted. `emoji` and `reaction` are absent on `unreact`."""

    kind: Literal["reaction"] = "reaction"
    action: Literal["react", "unreact"]
    reaction: str | None = None
    emoji: str | None = None


class PostbackEvent(EventBase):
    """A button that was pressed. With a `mid` the Graph API lists it as a message with the button's title as text."""

    kind: Literal["postback"] = "postback"
    message_id: str | None = None
    mid: str | None = None
    title: str | None = None
    payload: str | None = None
    referral: Referral | None = None
    standby: bool = False


class ReferralEvent(EventBase):
    kind: Literal["referral"] = "referral"
    referral: Referral


class ConversationListedEvent(EventBase):
    """A backfill has begun to read a conversation; analysis waits for its `conversation_completed`.

    This event and the next are about a conversation as a whole: their `direction` is `inbound` by convention.
    """

    kind: Literal["conversation_listed"] = "conversation_listed"
    thread_id: str
    updated_time: Instant | None = None
    message_count: int | None = None
    participants: tuple[Participant, ...] = ()


class ConversationCompletedEvent(EventBase):
    """A backfill has read a conversation as far as the platform allows. One that failed never gets this event."""

    kind: Literal["conversation_completed"] = "conversation_completed"
    thread_id: str
    updated_time: Instant | None = None
    messages_read: int = Field(ge=0, description="published as `message` events by this run")
    messages_unavailable: int = Field(default=0, ge=0, description="listed, but not shown by the platform")


Event = Annotated[
    MessageEvent
    | EditEvent
    | DeletionEvent
    | ReactionEvent
    | PostbackEvent
    | ReferralEvent
    | ConversationListedEvent
    | ConversationCompletedEvent,
    Field(discriminator="kind"),
]

event_adapter: TypeAdapter[Event] = TypeAdapter(Event, config=ConfigDict(hide_input_in_errors=True))


def load_event(value: bytes) -> Event:
    """ValueError (pydantic's or orjson's, which both are) when `value` is not an event of this contract."""
    return event_adapter.validate_python(orjson.loads(value))


def cloud_event_headers(event_id: str, kind: str, source: str, time: str, *more: Header) -> list[Header]:
    """CloudEvents 1.0, Kafka binary content mode, and `more`; `time` is RFC 3339."""
    return [*_fixed_headers(kind, source), ("ce_id", event_id.encode()), ("ce_time", time.encode()), *more]


@lru_cache(256)
def _fixed_headers(kind: str, source: str) -> tuple[Header, ...]:
    return (
        ("ce_specversion", b"1.0"),
        ("ce_type", f"{TYPE_PREFIX}.{kind}.v1".encode()),
        ("ce_source", f"/{TYPE_PREFIX}/{source}".encode()),
        ("content-type", b"application/json"),
    )


def compact(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without those that are None: what Facebook leaves out and what it sends as null mean the same."""
    return {key: value for key, value in values.items() if value is not None}
