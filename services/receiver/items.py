"""One messaging item of a webhook to the events in it. Pure.

Shapes: developers.facebook.com/docs/messenger-platform/webhooks and .../docs/instagram-platform/webhooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.receiver.fields import read_id, read_list, read_object, read_text, read_time
from shared.events import (
    Attachment,
    DeletionEvent,
    Direction,
    EditEvent,
    Event,
    MessageEvent,
    PostbackEvent,
    ReactionEvent,
    Referral,
    ReferralEvent,
    ReplyTo,
    Source,
)
from shared.failures import Reason, RejectedError
from shared.ids import Platform, content_hash, event_id, message_id

NOTICES = frozenset(
    {
        "account_linking", "app_roles", "checkout_update", "commands", "delivery", "game_play", "messaging_feedback",
        "optin", "pass_thread_control", "payment", "policy_enforcement", "policy-enforcement", "pre_checkout", "read",
        "request_thread_control", "response_feedback", "send_cart", "take_thread_control", "typing",
    }
)  # fmt: skip
"""Kinds that say nothing of what was said in a conversation: counted and dropped."""

BESIDE = frozenset({"sender", "recipient", "timestamp", "prior_message", "hop_context"})
"""Keys of an item that are no kind of event."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an item inherits from the body and the entry it came in."""

    platform: Platform
    account_id: str
    entry_time: datetime | None
    received_at: datetime
    standby: bool


@dataclass(frozen=True, slots=True)
class Context:
    """Whose conversation an item is about. `common` are the fields that all events share but `event_id`."""

    envelope: Envelope
    customer_id: str
    raw_timestamp: object
    common: dict[str, Any]

    def message(self, mid: str) -> dict[str, Any]:
        envelope = self.envelope
        return {**self.common, "mid": mid, "message_id": message_id(envelope.platform, envelope.account_id, mid)}

    def hashed_id(self, kind: str, value: dict[str, Any]) -> str:
        """For what has no id of its own: over the content and the item's own time, never the entry's."""
        envelope = self.envelope
        digest = content_hash([self.raw_timestamp, value])
        return event_id(kind, envelope.platform, envelope.account_id, self.customer_id, digest)


def events_of(item: dict[str, Any], envelope: Envelope) -> tuple[list[Event], list[RejectedError]]:
    """The events in one item, which may be of several kinds, and why others could not be made."""
    events: list[Event] = []
    errors: list[RejectedError] = []
    for kind in (kind for kind in _MAKERS if kind in item):
        try:
            events.extend(_MAKERS[kind](read_object(item[kind]), _context(item, envelope)))
        except RejectedError as error:
            errors.append(error)
    return events, errors


def is_self_message(item: dict[str, Any]) -> bool:
    """An account's note to itself (Instagram, `is_self`): there is no customer in it."""
    message = item.get("message")
    return isinstance(message, dict) and message.get("is_self") is True


def _context(item: dict[str, Any], envelope: Envelope) -> Context:
    sender, recipient = (read_id(read_object(item.get(side)).get("id")) for side in ("sender", "recipient"))
    echo = read_object(item.get("message") if isinstance(item.get("message"), dict) else None).get("is_echo") is True
    outbound = echo or sender == envelope.account_id
    customer = _customer(sender, recipient, envelope.account_id, outbound=outbound)
    raw_timestamp = item.get("timestamp")
    occurred_at = read_time(raw_timestamp) or envelope.entry_time or envelope.received_at
    common = {
        "platform": envelope.platform,
        "account_id": envelope.account_id,
        "customer_id": customer,
        "direction": Direction.OUTBOUND if outbound else Direction.INBOUND,
        "occurred_at": occurred_at,
        "received_at": envelope.received_at,
        "source": Source.WEBHOOK,
    }
    return Context(envelope, customer, raw_timestamp, common)


def _customer(sender: str | None, recipient: str | None, account_id: str, *, outbound: bool) -> str:
    """The side that is not the account; where neither is, the recipient of an echo and the sender of anything else."""
    likely, other = (recipient, sender) if outbound else (sender, recipient)
    customer = other if likely == account_id else likely
    if customer is None or customer == account_id:
        raise RejectedError(Reason.NO_CUSTOMER)
    return customer


def _mid(value: dict[str, Any]) -> str:
    mid = value.get("mid")
    if isinstance(mid, int) and not isinstance(mid, bool):
        return str(mid)
    if not isinstance(mid, str) or not 0 < len(mid) <= 1024:
        raise RejectedError(Reason.NO_MESSAGE_ID)
    return mid


def _message(value: dict[str, Any], context: Context) -> Iterator[Event]:
    about = context.message(_mid(value))
    if value.get("is_deleted") is True:
        yield DeletionEvent(event_id=event_id("deletion", about["message_id"]), **about)
        return
    reply = read_object(value.get("reply_to"))
    story = read_object(reply.get("story"))
    yield MessageEvent(
        event_id=event_id("message", about["message_id"]),
        text=read_text(value.get("text")),
        attachments=tuple(_attachment(read_object(each)) for each in read_list(value.get("attachments")) if each),
        reply_to=ReplyTo(
            mid=read_text(reply.get("mid")), story_id=read_text(story.get("id")), story_url=read_text(story.get("url"))
        )
        if reply
        else None,
        quick_reply=read_text(read_object(value.get("quick_reply")).get("payload")),
        sticker_id=read_text(value.get("sticker_id")),
        referral=_referral(value.get("referral")),
        app_id=read_text(value.get("app_id")),
        is_unsupported=value.get("is_unsupported") is True,
        standby=context.envelope.standby,
        **about,
    )


def _attachment(value: dict[str, Any]) -> Attachment:
    payload = read_object(value.get("payload"))
    known = {"url", "title", "payload", "type"}
    return Attachment(
        type=read_text(value.get("type")) or "unknown",
        url=read_text(payload.get("url") or payload.get("story_media_url") or value.get("url")),
        title=read_text(payload.get("title") or value.get("title")),
        payload={k: v for k, v in {**value, **payload}.items() if k not in known and v is not None},
    )


def _referral(value: object) -> Referral | None:
    referral = read_object(value)
    if not referral:
        return None
    known = ("ref", "source", "type", "ad_id")
    return Referral(
        **{key: read_text(referral.get(key)) for key in known},
        payload={k: v for k, v in referral.items() if k not in known and v is not None},
    )


def _edit(value: dict[str, Any], context: Context) -> Iterator[Event]:
    about = context.message(_mid(value))
    number = value.get("num_edit")
    number = number if isinstance(number, int) and not isinstance(number, bool) else None
    part = number if number is not None else content_hash(value)
    yield EditEvent(
        event_id=event_id("edit", about["message_id"], part),
        num_edit=number,
        text=read_text(value.get("text")),
        **about,
    )


def _reaction(value: dict[str, Any], context: Context) -> Iterator[Event]:
    about = context.message(_mid(value))
    action = value.get("action")
    if action not in ("react", "unreact"):
        raise RejectedError(Reason.MALFORMED, "a reaction is react or unreact")
    reaction, emoji = read_text(value.get("reaction")), read_text(value.get("emoji"))
    identity = (context.common["direction"], action, reaction or emoji or "", context.raw_timestamp)
    yield ReactionEvent(
        event_id=event_id("reaction", about["message_id"], *identity),
        action=action, reaction=reaction, emoji=emoji, **about,
    )  # fmt: skip


def _postback(value: dict[str, Any], context: Context) -> Iterator[Event]:
    about = context.message(_mid(value)) if value.get("mid") is not None else context.common
    own_id = about.get("message_id")
    yield PostbackEvent(
        event_id=event_id("postback", own_id) if own_id else context.hashed_id("postback", value),
        title=read_text(value.get("title")),
        payload=read_text(value.get("payload")),
        referral=_referral(value.get("referral")),
        standby=context.envelope.standby,
        **about,
    )


def _referred(value: dict[str, Any], context: Context) -> Iterator[Event]:
    referral = _referral(value)
    if referral is None:
        raise RejectedError(Reason.MALFORMED, "an empty referral")
    yield ReferralEvent(event_id=context.hashed_id("referral", value), referral=referral, **context.common)


_MAKERS: dict[str, Callable[[dict[str, Any], Context], Iterator[Event]]] = {
    "message": _message,
    "message_edit": _edit,
    "reaction": _reaction,
    "postback": _postback,
    "referral": _referred,
}
KINDS = frozenset(_MAKERS)
