"""Decoding records into events; a record that is no event becomes a dead letter. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from pydantic import ValidationError

from shared.contract.dead_letters import DeadLetter, encode_payload
from shared.contract.events import Event, load_event
from shared.contract.failures import Reason
from shared.contract.ids import is_usable_id


class RawRecord(Protocol):
    """A record as a consumer returns it."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


def decode(record: RawRecord, now: datetime) -> Event | DeadLetter:
    """Return the event, or a dead letter if the record is none: one bad record never fails its batch (promise 7)."""
    try:
        event = load_event(record.value or b"")
    except ValueError as error:
        return dead_letter(record, _reason(error), _detail(error), now)
    if not (is_usable_id(event.account_id) and is_usable_id(event.customer_id)):
        return dead_letter(record, Reason.BAD_ID, "account_id or customer_id cannot be part of a key", now)
    return event


def dead_letter(record: RawRecord, reason: Reason, detail: str, now: datetime) -> DeadLetter:
    payload, encoding = encode_payload(record.value or b"")
    return DeadLetter(
        reason=reason,
        detail=detail,
        where="analyzer",
        parked_at=now,
        payload=payload,
        encoding=encoding,
        key=record.key.decode("utf-8", "replace") if record.key is not None else None,
    )


def _reason(error: ValueError) -> Reason:
    """An unknown kind has a reason of its own: such a dead letter can be replayed after an upgrade."""
    unknown = isinstance(error, ValidationError) and error.errors()[0]["type"] == "union_tag_invalid"
    return Reason.UNKNOWN_KIND if unknown else Reason.NOT_AN_EVENT


def _detail(error: ValueError) -> str:
    """Return field names and error types; the error's own text quotes what a customer wrote."""
    if not isinstance(error, ValidationError):
        return "not JSON"
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'value'}: {each['type']}" for each in details[:5])
