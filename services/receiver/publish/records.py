"""Records of a normalised webhook. Pure except for the randomness of a new trace."""

from __future__ import annotations

import random
import re

from services.receiver.parse.normalise_webhook import NormalisedWebhook
from shared.bus.producer import Record, Topics, event_record
from shared.contract.dead_letters import dead_letter_headers, dump_dead_letter
from shared.contract.events import Header

TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def event_records(normalised: NormalisedWebhook, topics: Topics, trace: str) -> list[Record]:
    traceparent = _traceparent(trace)
    return [event_record(topics.message_events, event, traceparent) for event in normalised.events]


def letter_records(normalised: NormalisedWebhook, topics: Topics, trace: str) -> list[Record]:
    return [
        Record(
            topics.dead_letters,
            dead_letter.letter_id.encode(),
            dump_dead_letter(dead_letter),
            dead_letter_headers(dead_letter, _traceparent(trace)),
        )
        for dead_letter in normalised.dead_letters
    ]


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
