"""Normalises a webhook's body to events, dead letters and counts of dropped items. Pure.

An invalid item never affects the items around it, nor an odd part of an item the rest of it: the events are published
without that part, and the item becomes a dead letter that names it. Replaying it repeats the events with their ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from services.receiver.parse.fields import read_id, read_list, read_object, read_text
from services.receiver.parse.items import (
    EVENT_ENCODERS,
    IGNORED_KINDS,
    NON_EVENT_KEYS,
    Envelope,
    encode_events,
    is_self_message,
)
from services.receiver.parse.json_body import parse_body
from shared.contract.dead_letters import DeadLetter, encode_payload
from shared.contract.encoded_events import EncodedEvent
from shared.contract.events import format_instant
from shared.contract.failures import Reason, RejectedError
from shared.contract.ids import Platform

PLATFORMS = {"page": Platform.MESSENGER, "instagram": Platform.INSTAGRAM}
MESSAGING_FIELDS = frozenset(
    {
        "message_deliveries", "message_echoes", "message_edit", "message_edits", "message_reactions", "message_reads",
        "messages", "messaging_handover", "messaging_handovers", "messaging_optins", "messaging_postbacks",
        "messaging_referral", "messaging_referrals", "messaging_seen", "standby",
    }
)  # fmt: skip
"""Fields of `changes` whose value is a messaging item. All others (comments, mentions, feed …) are dropped."""
KNOWN_KEYS = NON_EVENT_KEYS.union(EVENT_ENCODERS)
ITEM_GROUPS = ("messaging", "standby", "changes")
DASHBOARD_ENTRY_ID = "0"
"""The entry id that the app dashboard's Test button sends; no account has it."""

MAX_ITEMS = 20_000
"""In one body. Facebook sends at most 1000 (docs/facebook.md), and 4 MiB of real items are far fewer."""
DEAD_LETTER_OVERHEAD_BYTES, DEAD_LETTERS_BASE_BYTES = 300, 64 * 1024
"""The size of a dead letter without its payload, and the size that all of a body's may have beyond twice the body."""


@dataclass(slots=True)
class NormalisedWebhook:
    """The contents of one body. `dropped` counts by kind what is understood but not needed.

    Each dead letter repeats the envelope of its item, so their size is limited.
    """

    events: list[EncodedEvent] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    max_dead_letters_bytes: int = DEAD_LETTERS_BASE_BYTES
    dead_letters_bytes: int = 0

    @property
    def has_room(self) -> bool:
        return self.dead_letters_bytes <= self.max_dead_letters_bytes

    def drop(self, kind: str) -> None:
        self.dropped[kind] = self.dropped.get(kind, 0) + 1

    def add_dead_letter(self, raw: bytes, error: RejectedError, at: datetime) -> None:
        payload, encoding = encode_payload(raw)
        dead_letter = DeadLetter(
            reason=error.reason, detail=error.detail, where="receiver", parked_at=at, payload=payload, encoding=encoding
        )
        self.dead_letters.append(dead_letter)
        self.dead_letters_bytes += len(raw) + DEAD_LETTER_OVERHEAD_BYTES


def normalise(body: bytes, received_at: datetime) -> NormalisedWebhook:
    """Return the contents of `body`. Never raises: a body that is not understood becomes one dead letter."""
    result = NormalisedWebhook(max_dead_letters_bytes=DEAD_LETTERS_BASE_BYTES + 2 * len(body))
    try:
        parsed = read_object(parse_body(body))
        if _is_dashboard_test(parsed):
            result.drop("dashboard_test")
            return result
        platform = PLATFORMS.get(str(parsed.get("object")))
        if platform is None:
            raise RejectedError(Reason.UNKNOWN_OBJECT)
        entries = read_list(parsed.get("entry"))
        if body.count(b",") >= MAX_ITEMS and _number_of_items(entries) > MAX_ITEMS:
            raise RejectedError(Reason.MALFORMED, f"more than {MAX_ITEMS} items")
    except RejectedError as error:
        result.add_dead_letter(body, error, received_at)
        return result
    envelope = Envelope(platform, platform.value, format_instant(received_at))
    for entry in entries:
        _read_entry(result, envelope, parsed["object"], entry, received_at)
    return result if result.has_room else _with_one_dead_letter(result, body, received_at)


def _number_of_items(entries: list[Any]) -> int:
    groups = (entry.get(group) for entry in entries if isinstance(entry, dict) for group in ITEM_GROUPS)
    return len(entries) + sum(len(group) for group in groups if isinstance(group, list))


def _with_one_dead_letter(result: NormalisedWebhook, body: bytes, received_at: datetime) -> NormalisedWebhook:
    """Replace dead letters that would be many times the size of the body with one of the whole body."""
    reason = RejectedError(result.dead_letters[0].reason, "the first of many")
    single = NormalisedWebhook(result.events, dropped=result.dropped)
    single.add_dead_letter(body, reason, received_at)
    return single


def _is_dashboard_test(parsed: dict[str, Any]) -> bool:
    """Return whether it is `{"field", "value"}`, bare or in `{"sample": …}`: without a platform and an account."""
    sample = parsed.get("sample", parsed)
    return "entry" not in parsed and isinstance(sample, dict) and {"field", "value"} <= sample.keys()


def _read_entry(result: NormalisedWebhook, envelope: Envelope, name: str, entry: Any, received_at: datetime) -> None:
    """Read an entry's items one by one. An entry that cannot be read becomes a dead letter of its own."""
    try:
        entry = read_object(entry)
        account_id = read_id(entry.get("id"))
        if account_id is None:
            raise RejectedError(Reason.NO_ACCOUNT)
    except RejectedError as error:
        if result.has_room:
            result.add_dead_letter(orjson.dumps({"object": name, "entry": [entry]}), error, received_at)
        return
    envelope.account_id, envelope.entry_time = account_id, entry.get("time")
    has_items = False
    for group, value, wrong in _groups(entry):
        has_items = has_items or bool(wrong or value)
        if wrong:
            if result.has_room:
                result.add_dead_letter(_body_of(name, entry, group, value), wrong, received_at)
            continue
        envelope.standby = group == "standby"
        for item in value:
            reason = _read_item(result, envelope, group, item)
            if reason and result.has_room:
                result.add_dead_letter(_body_of(name, entry, group, [item]), reason, received_at)
    if not has_items:
        result.drop("empty_entry")


def _groups(entry: dict[str, Any]) -> Iterator[tuple[str, Any, RejectedError | None]]:
    """Yield the groups of items, with an error for one that is no list, and for a list that is not known."""
    for group in ITEM_GROUPS:
        if (value := entry.get(group)) is not None:
            yield group, value, None if isinstance(value, list) else RejectedError(Reason.MALFORMED, group)
    for name, value in entry.items():
        if isinstance(value, list) and value and name not in (*ITEM_GROUPS, "time"):
            yield name, value, RejectedError(Reason.UNKNOWN_KIND, "a list of an unknown name")


def _body_of(name: str, entry: dict[str, Any], group: str, value: Any) -> bytes:
    """Return a body with only this value of a group, in its own envelope."""
    rest = {key: each for key, each in entry.items() if key not in ITEM_GROUPS and not isinstance(each, list)}
    return orjson.dumps({"object": name, "entry": [{**rest, group: value}]})


def _read_item(result: NormalisedWebhook, envelope: Envelope, group: str, item: Any) -> RejectedError | None:
    """Add the events of an item. Returns an error when the whole item must become a dead letter."""
    try:
        value = _value_of(item) if group == "changes" else read_object(item)
    except RejectedError as error:
        return error
    if value is None:
        result.drop("not_a_conversation")
    elif envelope.account_id == DASHBOARD_ENTRY_ID:
        result.drop("dashboard_test")
    elif is_self_message(value):
        result.drop("self_message")
    else:
        return _read_kinds(result, envelope, value)
    return None


def _value_of(change: Any) -> dict[str, Any] | None:
    """Return the messaging item in a change, or None when its field does not belong to a conversation."""
    change = read_object(change)
    return read_object(change.get("value")) if read_text(change.get("field")) in MESSAGING_FIELDS else None


def _read_kinds(result: NormalisedWebhook, envelope: Envelope, item: dict[str, Any]) -> RejectedError | None:
    kinds = [kind for kind in EVENT_ENCODERS if item.get(kind) is not None]
    others = [] if KNOWN_KEYS.issuperset(item) else [name for name in item if name not in KNOWN_KEYS]
    is_null = not others and not EVENT_ENCODERS.keys().isdisjoint(item)
    if not kinds and not is_null and not (others and IGNORED_KINDS.issuperset(others)):
        return RejectedError(Reason.UNKNOWN_KIND)
    for name in others:
        result.drop(name if name in IGNORED_KINDS else "unknown_field")
    if not kinds:
        if is_null:
            result.drop("empty_item")
        return None
    events, errors = encode_events(item, kinds, envelope)
    result.events.extend(events)
    return errors[0] if errors else None
