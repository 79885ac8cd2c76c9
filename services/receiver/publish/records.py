"""What a webhook came to, as records for the topics. Pure but for the randomness of a new trace."""

from __future__ import annotations

import random
import re

from services.receiver.parse.normalise_webhook import NormalisedWebhook
from shared.bus.producer import Record, Topics, event_record
from shared.contract.dead_letters import dead_letter_headers, dump_dead_letter

TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def to_records(batch: NormalisedWebhook, topics: Topics, trace: str) -> list[Record]:
    traceparent = ("traceparent", trace.encode())
    records = [event_record(topics.message_events, encoded_event, traceparent) for encoded_event in batch.events]
    for dead_letter in batch.dead_letters:
        key, headers = dead_letter.letter_id.encode(), dead_letter_headers(dead_letter, traceparent)
        records.append(Record(topics.dead_letters, key, dump_dead_letter(dead_letter), headers))
    return records


def traceparent_or_new(traceparent: str | None) -> str:
    """`traceparent` where it is one of W3C trace context's version 00, else a new one, sampled."""
    if traceparent and TRACEPARENT.fullmatch(traceparent):
        return traceparent
    digits = f"{random.getrandbits(192):048x}"
    return f"00-{digits[:32]}-{digits[32:]}-01"


def request_id(trace: str) -> str:
    """Its trace id."""
    return trace[3:35]
