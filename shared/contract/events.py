"""The events of a conversation, as published on `message-events`. The only definition of that contract. Pure.

Values are JSON; headers are CloudEvents 1.0 in binary mode. A reader must ignore unknown fields and unknown kinds: both
may be added within version 1 (`ce_type` ends in `.v1`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

import orjson
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, TypeAdapter

from shared.contract.ids import ConversationKey, Platform

TYPE_PREFIX = "leadstream"
Header = tuple[str, bytes]


def _read_instant(value: object) -> datetime:
    """Parse a time, in `format_instant`'s form by Python's own parser: times took half of decoding an event."""
    try:
        if type(value) is str and len(value) == 24 and value[19] == "." and value[23] == "Z":
            return datetime.fromisoformat(value)
        return _to_utc_ms(_datetimes.validate_python(value))
    except ValueError:
        raise ValueError("not a time with an offset") from None  # the original error quotes the value


def _to_utc_ms(value: datetime) -> datetime:
    if value.tzinfo is UTC and not value.microsecond % 1000:  # already normalised
        return value
    if value.tzinfo is None:
        raise ValueError
    utc = value.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


@lru_cache(64)
def format_instant(value: datetime) -> str:
    """Return the time as RFC 3339 in UTC with milliseconds: `2024-08-12T18:16:49.684Z`."""
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
    """Base of public models. Errors do not quote the input, which may be what a customer wrote."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Attachment(ContractModel):
    """`type` as Facebook names it (image, video, audio, file, sticker, template, fallback, story_mention, …)."""

    type: str
    url: str | None = None
    title: str | None = None
    payload: dict[str, Any] = Field(default_factory=dict, description="other fields of the platform, unchanged")


class ReplyTo(ContractModel):
    """The message or story that a message replies to."""

    mid: str | None = None
    story_id: str | None = None
    story_url: str | None = None


class Referral(ContractModel):
    """How the customer came to the conversation: an ad, a link, a product."""

    ref: str | None = None
    source: str | None = None
    type: str | None = None
    ad_id: str | None = None
    payload: dict[str, Any] = Field(default_factory=dict, description="other fields of the platform, unchanged")


class Participant(ContractModel):
    id: str
    name: str | None = None
    username: str | None = None


class EventBase(ContractModel):
    event_id: str = Field(description="deterministic: both producers give the same fact the same id")
    platform: Platform
    account_id: str
    customer_id: str
    direction: Direction
    occurred_at: Instant = Field(description="by the platform's clock")
    received_at: Instant = Field(description="when this system read it; differs between reports of the same fact")
    source: Source
    run_id: str | None = Field(default=None, description="the backfill run that read the event")

    @property
    def conversation(self) -> ConversationKey:
        return ConversationKey(self.platform, self.account_id, self.customer_id)


class MessageScopedEvent(EventBase):
    message_id: str = Field(description="platform:account_id:mid, equal from webhook and Graph API")
    mid: str = Field(description="the platform's own id, for Graph API calls")


class MessageEvent(MessageScopedEvent):
    kind: Literal["message"] = "message"
    text: str | None = None
    attachments: tuple[Attachment, ...] = ()
    reply_to: ReplyTo | None = None
    quick_reply: str | None = Field(default=None, description="payload of the chosen quick reply")
    sticker_id: str | None = None
    referral: Referral | None = None
    app_id: str | None = Field(default=None, description="the app that sent the outbound message")
    is_unsupported: bool = False
    standby: bool = Field(default=False, description="received while another app controlled the conversation")
    sender_name: str | None = None
    sender_username: str | None = None


class EditEvent(MessageScopedEvent):
    """`text` is absent in Instagram's webhooks, which carry only the number of the edit (see docs/facebook.md)."""

    kind: Literal["edit"] = "edit"
    num_edit: int | None = None
    text: str | None = None


class DeletionEvent(MessageScopedEvent):
    """The sender deleted the message: its content must be removed from every store (promise 9)."""

    kind: Literal["deletion"] = "deletion"


class ReactionEvent(MessageScopedEvent):
    """`direction` is the side that reacted. `emoji` and `reaction` are absent on `unreact`."""

    kind: Literal["reaction"] = "reaction"
    action: Literal["react", "unreact"]
    reaction: str | None = None
    emoji: str | None = None


class PostbackEvent(EventBase):
    """A pressed button. With a `mid`, the Graph API lists it as a message with the button's title as text."""

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

    This event and `conversation_completed` are about the whole conversation; their `direction` is always `inbound`.
    """

    kind: Literal["conversation_listed"] = "conversation_listed"
    thread_id: str
    updated_time: Instant | None = None
    message_count: int | None = None
    participants: tuple[Participant, ...] = ()


class ConversationCompletedEvent(EventBase):
    """A backfill has read a conversation as far as the platform allows. There is none after a failed read."""

    kind: Literal["conversation_completed"] = "conversation_completed"
    thread_id: str
    updated_time: Instant | None = None
    messages_read: int = Field(ge=0, description="number of `message` events this run published")
    messages_unavailable: int = Field(default=0, ge=0, description="listed, but not returned by the platform")


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

EVENT_KINDS: tuple[str, ...] = tuple(each.model_fields["kind"].default for each in get_args(get_args(Event)[0]))

event_adapter: TypeAdapter[Event] = TypeAdapter(Event, config=ConfigDict(hide_input_in_errors=True))


def load_event(value: bytes) -> Event:
    """ValueError (also pydantic's and orjson's) when `value` is not an event of this contract."""
    return event_adapter.validate_python(orjson.loads(value))


def cloud_event_headers(event_id: str, kind: str, source: str, time: str, *more: Header) -> list[Header]:
    """Return the headers of CloudEvents 1.0 in Kafka's binary mode, and `more`; `time` is RFC 3339."""
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
    """Return `values` without those that are None: a field that Facebook omits means the same as null."""
    return {key: value for key, value in values.items() if value is not None}
