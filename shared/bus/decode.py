"""From records to events; what is none becomes a dead letter. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from pydantic import ValidationError

from shared.contract.dead_letters import DeadLetter, encode_payload
from shared.contract.events import Event, load_event
from shared.contract.failures import Reason
from shared.contract.ids import is_usable_id


class RawRecord(Protocol):
    """What a consumer hands out."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


def decode(record: RawRecord, now: datetime) -> Event | DeadLetter:
    """Never fails the batch it came in (promise 7)."""
    try:
        event = load_event(record.value or b"")
    except ValueError as error:
        return dead_letter(record, _reason(error), _where(error), now)
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
    """A kind that a newer producer knows is told apart: such a letter can be replayed after an upgrade."""
    unknown = isinstance(error, ValidationError) and error.errors()[0]["type"] == "union_tag_invalid"
    return Reason.UNKNOWN_KIND if unknown else Reason.NOT_AN_EVENT


def _where(error: ValueError) -> str:
    """Names of fields and kinds of fault: an error's own text quotes what a customer wrote."""
    if not isinstance(error, ValidationError):
        return "not JSON"
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'value'}: {fault['type']}" for fault in faults[:5])
