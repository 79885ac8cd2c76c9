"""Records of a normalised webhook. Pure except for the randomness of a new trace."""

from __future__ import annotations

import random
import re
from datetime import datetime

from services.receiver.parse.normalise_webhook import NormalisedWebhook
from shared.bus.producer import Record, Topics, event_record
from shared.contract.dead_letters import DeadLetter, dead_letter_headers, dump_dead_letter, encode_payload
from shared.contract.events import Header
from shared.contract.failures import Reason

TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def event_records(normalised: NormalisedWebhook, topics: Topics, trace: str) -> list[Record]:
    traceparent = _traceparent(trace)
    return [event_record(topics.message_events, event, traceparent) for event in normalised.events]


def letter_records(normalised: NormalisedWebhook, topics: Topics, trace: str) -> list[Record]:
    return [letter_record(each, topics, _traceparent(trace)) for each in normalised.dead_letters]


def letter_record(letter: DeadLetter, topics: Topics, *headers: Header) -> Record:
    return Record(
        topics.dead_letters, letter.letter_id.encode(), dump_dead_letter(letter), dead_letter_headers(letter, *headers)
    )


def too_large_letter(record: Record, topics: Topics, now: datetime) -> Record:
    """Return a dead letter with an event that its topic refuses; replayed, it is published as the same event."""
    payload, encoding = encode_payload(record.value)
    letter = DeadLetter(
        reason=Reason.TOO_LARGE, where="spool", parked_at=now, payload=payload, encoding=encoding,
        key=(record.key or b"").decode(), detail=f"{len(record.value)} bytes are more than {record.topic} takes",
    )  # fmt: skip
    return letter_record(letter, topics)


def _traceparent(trace: str) -> Header:
    return "traceparent", trace.encode()


def traceparent_or_new(traceparent: str | None) -> str:
    """Return `traceparent` when it is valid (W3C Trace Context, version 00), else a new, sampled one."""
    if traceparent and TRACEPARENT.fullmatch(traceparent):
        return traceparent
    digits = f"{random.getrandbits(192):048x}"
    return f"00-{digits[:32]}-{digits[32:]}-01"


def request_id(trace: str) -> str:
    """Return the trace id of `trace`."""
    return trace[3:35]
