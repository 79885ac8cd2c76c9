"""Parses a dead letter's body again: by now the receiver may understand it. Pure except for the new trace."""

from __future__ import annotations

from datetime import datetime

from services.receiver.parse.normalise_webhook import normalise
from services.receiver.publish.records import event_records, letter_records, traceparent_or_new
from shared.bus.producer import Record, Topics


def reparse(body: bytes, received_at: datetime, topics: Topics) -> list[Record]:
    """Return records of the events in `body`, and dead letters of what is still not understood.

    `received_at` is when the webhook originally arrived.
    """
    normalised, trace = normalise(body, received_at), traceparent_or_new(None)
    return event_records(normalised, topics, trace) + letter_records(normalised, topics, trace)
