"""Encodes the events of one messaging item of a webhook. Pure.

An event needs a message id, an account and a customer. Every other part is optional: one that cannot be read is left
out, and its name is returned beside the events.

Shapes: developers.facebook.com/docs/messenger-platform/webhooks and .../docs/instagram-platform/webhooks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from services.receiver.parse.fields import (
    MAX_INTEGER,
    read_id,
    read_instant,
    read_list,
    read_object,
    read_storable,
    read_text,
)
from shared.contract.encoded_events import EncodedEvent
from shared.contract.events import Direction, Source, compact
from shared.contract.failures import Reason, RejectedError
from shared.contract.ids import Platform, content_hash, event_id, message_id

Value = TypeVar("Value")
Read = TypeVar("Read")

INBOUND, OUTBOUND, WEBHOOK = Direction.INBOUND.value, Direction.OUTBOUND.value, Source.WEBHOOK.value

IGNORED_KINDS = frozenset(
    {
        "account_linking", "app_roles", "checkout_update", "commands", "delivery", "game_play", "messaging_feedback",
        "optin", "pass_thread_control", "payment", "policy_enforcement", "policy-enforcement", "pre_checkout", "read",
        "request_thread_control", "response_feedback", "send_cart", "take_thread_control", "typing",
    }
)  # fmt: skip
"""Kinds without any content of a conversation: counted and dropped."""

NON_EVENT_KEYS = frozenset({"sender", "recipient", "timestamp", "prior_message", "hop_context"})
"""Keys of an item that do not name an event."""


@dataclass(slots=True)
class Envelope:
    """What an item inherits from its body and its entry.

    `received_at` is RFC 3339, `entry_time` is as in the body.
    """

    platform: Platform
    platform_name: str
    received_at: str
    account_id: str = ""
    entry_time: object = None
    standby: bool = False

    def time(self) -> str:
        """Return the time of an item that has none. An invalid time of the entry (in old test bodies) is ignored."""
        try:
            return read_instant(self.entry_time) or self.received_at
        except RejectedError:
            return self.received_at


@dataclass(slots=True)
class ItemContext:
    """The conversation of an item. `common` has the fields of every event except its identity.

    `odd` has the names of parts that were left out.
    """

    envelope: Envelope
    raw_timestamp: object
    common: dict[str, Any]
    odd: list[str]

    def part(self, name: str, value: Value, read: Callable[[Value], Read]) -> Read | None:
        """Return what `read` makes of an optional part; None when it is odd."""
        return _part(name, value, read, self.odd)

    def text(self, name: str, value: object) -> str | None:
        return self.part(name, value, read_text)

    def event(self, kind: str, own_id: str, fields: dict[str, Any]) -> EncodedEvent:
        common = self.common
        key = f"{common['platform']}:{common['account_id']}:{common['customer_id']}"
        return EncodedEvent(
            kind, own_id, key, common["occurred_at"], {"kind": kind, "event_id": own_id, **common, **fields}
        )

    def message(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the identity of the message in `value`. RejectedError (`no_message_id`) without one."""
        mid = _mid(value)
        return {"message_id": message_id(self.envelope.platform, self.envelope.account_id, mid), "mid": mid}

    def hashed_id(self, kind: str, value: dict[str, Any]) -> str:
        """Return an id for an event without one: a hash of the content and the item's own time, never the entry's."""
        envelope = self.envelope
        digest = content_hash([self.raw_timestamp, value])
        return event_id(kind, envelope.platform, envelope.account_id, self.common["customer_id"], digest)


def encode_events(
    item: dict[str, Any], kinds: list[str], envelope: Envelope
) -> tuple[list[EncodedEvent], list[RejectedError]]:
    """Return the events of `kinds` in one item, and an error for each one that is invalid.

    The last error names odd parts of the events, if there are any.
    """
    events: list[EncodedEvent] = []
    errors: list[RejectedError] = []
    try:
        context = _context(item, envelope)
    except RejectedError as error:
        return events, [error]
    for kind in kinds:
        try:
            events.append(EVENT_ENCODERS[kind](read_object(item[kind]), context))
        except RejectedError as error:
            errors.append(error)
    if context.odd:
        errors.append(RejectedError(Reason.ODD_PART, f"left out: {', '.join(dict.fromkeys(context.odd))}"))
    return events, errors


def is_self_message(item: dict[str, Any]) -> bool:
    """Return whether it is an account's note to itself (Instagram, `is_self`), which has no customer."""
    message = item.get("message")
    return isinstance(message, dict) and message.get("is_self") is True


def _context(item: dict[str, Any], envelope: Envelope) -> ItemContext:
    account_id, odd = envelope.account_id, list[str]()
    sender, recipient = (_part(side, item.get(side), _side, odd) for side in ("sender", "recipient"))
    message = item.get("message")
    outbound = sender == account_id or (isinstance(message, dict) and message.get("is_echo") is True)
    raw_timestamp = item.get("timestamp")
    common = {
        "platform": envelope.platform_name,
        "account_id": account_id,
        "customer_id": _customer(sender, recipient, account_id, odd, outbound=outbound),
        "direction": OUTBOUND if outbound else INBOUND,
        "occurred_at": _part("timestamp", raw_timestamp, read_instant, odd) or envelope.time(),
        "received_at": envelope.received_at,
        "source": WEBHOOK,
    }
    return ItemContext(envelope, raw_timestamp, common, odd)


def _part(name: str, value: Value, read: Callable[[Value], Read], odd: list[str]) -> Read | None:
    try:
        return read(value)
    except RejectedError:
        odd.append(name)
        return None


def _side(value: object) -> str | None:
    return read_id(read_object(value).get("id"))


def _customer(sender: str | None, recipient: str | None, account_id: str, odd: list[str], *, outbound: bool) -> str:
    """Return the side that is not the account. When neither is, the recipient of an echo, else the sender."""
    likely, other = (recipient, sender) if outbound else (sender, recipient)
    customer = other if likely == account_id else likely
    if customer is None or customer == account_id:
        raise RejectedError(Reason.BAD_ID if odd else Reason.NO_CUSTOMER, ", ".join(odd))
    return customer


def _mid(value: dict[str, Any]) -> str:
    mid = value.get("mid")
    if isinstance(mid, int) and not isinstance(mid, bool):
        return str(mid)
    if not isinstance(mid, str) or not 0 < len(mid) <= 1024:
        raise RejectedError(Reason.NO_MESSAGE_ID)
    return mid


def _message(value: dict[str, Any], context: ItemContext) -> EncodedEvent:
    fields = context.message(value)
    if value.get("is_deleted") is True:
        return context.event("deletion", f"deletion:{fields['message_id']}", fields)
    for name, raw in value.items():
        read = _PARTS.get(name)
        if read is None:
            continue
        try:
            part = read(raw, context)
        except RejectedError:
            context.odd.append(name)
            continue
        if part is not None:
            fields[name] = part
    if context.envelope.standby:
        fields["standby"] = True
    return context.event("message", f"message:{fields['message_id']}", fields)


def _attachments(value: object, context: ItemContext) -> list[dict[str, Any]] | None:
    given = [each for each in read_list(value) if each is not None and each != {}]
    objects = [each for each in given if isinstance(each, dict)]
    if len(objects) < len(given):
        context.odd.append("attachments")
    return [_attachment(each, context) for each in objects] or None


def _attachment(value: dict[str, Any], context: ItemContext) -> dict[str, Any]:
    payload = context.part("attachments.payload", value.get("payload"), read_object) or {}
    known = {"url", "title", "payload", "type"}
    more = {k: v for k, v in {**value, **payload}.items() if k not in known and v is not None}
    url = payload.get("url") or payload.get("story_media_url") or value.get("url")
    return compact(
        {
            "type": context.text("attachments.type", value.get("type")) or "unknown",
            "url": context.text("attachments.url", url),
            "title": context.text("attachments.title", payload.get("title") or value.get("title")),
            "payload": context.part("attachments.payload", more, read_storable) or None,
        }
    )


def _reply_to(value: object, context: ItemContext) -> dict[str, Any] | None:
    reply = read_object(value)
    story = context.part("reply_to.story", reply.get("story"), read_object) or {}
    parts = {"mid": reply.get("mid"), "story_id": story.get("id"), "story_url": story.get("url")}
    return compact({name: context.text(f"reply_to.{name}", part) for name, part in parts.items()}) if reply else None


def _referral(value: object, context: ItemContext) -> dict[str, Any] | None:
    referral = read_object(value)
    if not referral:
        return None
    known = ("ref", "source", "type", "ad_id")
    more = {k: v for k, v in referral.items() if k not in known and v is not None}
    texts = {key: context.text(f"referral.{key}", referral.get(key)) for key in known}
    return compact({**texts, "payload": context.part("referral.payload", more, read_storable) or None})


def _quick_reply(value: object, _context: ItemContext) -> str | None:
    return read_text(read_object(value).get("payload"))


def _read_text(value: object, _context: ItemContext) -> str | None:
    return read_text(value)


def _edit(value: dict[str, Any], context: ItemContext) -> EncodedEvent:
    fields = context.message(value)
    number = value.get("num_edit")
    is_number = isinstance(number, int) and not isinstance(number, bool) and abs(number) < MAX_INTEGER
    if number is not None and not is_number:
        context.odd.append("num_edit")
    part = number if is_number else content_hash(value)
    more = compact({"num_edit": number if is_number else None, "text": context.text("text", value.get("text"))})
    return context.event("edit", event_id("edit", fields["message_id"], part), {**fields, **more})


def _reaction(value: dict[str, Any], context: ItemContext) -> EncodedEvent:
    fields = context.message(value)
    action = value.get("action")
    if action not in ("react", "unreact"):
        raise RejectedError(Reason.MALFORMED, "a reaction is react or unreact")
    reaction, emoji = (context.text(name, value.get(name)) for name in ("reaction", "emoji"))
    identity = (context.common["direction"], action, reaction or emoji or "", context.raw_timestamp)
    more = compact({"action": action, "reaction": reaction, "emoji": emoji})
    return context.event("reaction", event_id("reaction", fields["message_id"], *identity), {**fields, **more})


def _postback(value: dict[str, Any], context: ItemContext) -> EncodedEvent:
    fields = context.message(value) if value.get("mid") is not None else {}
    own_id = event_id("postback", fields["message_id"]) if fields else context.hashed_id("postback", value)
    more = compact(
        {
            "title": context.text("title", value.get("title")),
            "payload": context.text("payload", value.get("payload")),
            "referral": context.part("referral", value.get("referral"), lambda given: _referral(given, context)),
            "standby": context.envelope.standby or None,
        }
    )
    return context.event("postback", own_id, {**fields, **more})


def _referred(value: dict[str, Any], context: ItemContext) -> EncodedEvent:
    referral = _referral(value, context)
    if referral is None:
        raise RejectedError(Reason.MALFORMED, "an empty referral")
    return context.event("referral", context.hashed_id("referral", value), {"referral": referral})


_PARTS: dict[str, Callable[[object, ItemContext], Any]] = {
    "text": _read_text,
    "attachments": _attachments,
    "reply_to": _reply_to,
    "quick_reply": _quick_reply,
    "sticker_id": _read_text,
    "referral": _referral,
    "app_id": _read_text,
    "is_unsupported": lambda value, _: True if value is True else None,
}
"""The readers of a message's optional parts. A part that reads as None is left out, and so is an odd one."""

EVENT_ENCODERS: dict[str, Callable[[dict[str, Any], ItemContext], EncodedEvent]] = {
    "message": _message,
    "message_edit": _edit,
    "reaction": _reaction,
    "postback": _postback,
    "referral": _referred,
}
"""By kind, in the order in which the events of one item are published."""
