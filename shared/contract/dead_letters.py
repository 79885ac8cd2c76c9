"""A dead letter: input that could not be understood, whole and with the reason, as on `message-events.dlq`. Pure.

A record's key is the dead letter's id. A record with that key and without a value says that the dead letter was
replayed, up to the offset in its header `replayed-offset`. A dead letter behind that offset is parked again.
"""

from __future__ import annotations

import base64
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from shared.contract.events import Header, Instant, cloud_event_headers, format_instant
from shared.contract.failures import Reason
from shared.contract.ids import content_hash


class DeadLetter(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    reason: Reason
    detail: str = Field(default="", description="never quotes the payload, as it is shown and logged")
    where: Literal["receiver", "analyzer", "spool"] = Field(
        description="what parked it: the receiver a webhook's body, the others an event"
    )
    parked_at: Instant
    payload: str = Field(description="the whole input, in `encoding`", repr=False)
    encoding: Literal["utf-8", "base64"] = "utf-8"
    key: str | None = Field(default=None, description="the input's Kafka key, if it had one")

    @property
    def letter_id(self) -> str:
        """A hash of the input: the same input parked twice has one id."""
        return content_hash([self.where, self.payload])

    @property
    def raw(self) -> bytes:
        return base64.b64decode(self.payload) if self.encoding == "base64" else self.payload.encode()


def encode_payload(raw: bytes) -> tuple[str, Literal["utf-8", "base64"]]:
    """Return `raw` as text that JSON carries without loss, in at most four thirds of its length."""
    encoded = base64.b64encode(raw).decode("ascii")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return encoded, "base64"
    return (text, "utf-8") if len(orjson.dumps(text)) <= len(encoded) + 2 else (encoded, "base64")


def dump_dead_letter(letter: DeadLetter) -> bytes:
    return orjson.dumps(letter.model_dump(mode="json", exclude_none=True))


def load_dead_letter(value: bytes) -> DeadLetter:
    return DeadLetter.model_validate(orjson.loads(value))


def dead_letter_headers(letter: DeadLetter, *more: Header) -> list[Header]:
    parked_at, reason = format_instant(letter.parked_at), ("reason", letter.reason.encode())
    return cloud_event_headers(letter.letter_id, "dead-letter", letter.where, parked_at, reason, *more)
