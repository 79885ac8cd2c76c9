"""A body that was parked, read as when it came: by then the receiver may understand it. Pure but for a new trace."""

from __future__ import annotations

from datetime import datetime

from services.receiver.parse.normalise_webhook import normalise
from services.receiver.publish.records import to_records, traceparent_or_new
from shared.bus.producer import Record, Topics


def reparse(body: bytes, received_at: datetime, topics: Topics) -> list[Record]:
    """The events in it, and dead letters of what is still not understood; `received_at` is when it came."""
    return to_records(normalise(body, received_at), topics, traceparent_or_new(None))
