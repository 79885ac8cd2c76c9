"""Writes events from the contract's models, to compare encoded events with."""

from __future__ import annotations

import orjson

from shared.contract.events import Event, Header, cloud_event_headers, format_instant


def dump_event(event: Event) -> bytes:
    """Return the record's value: JSON without fields that are None."""
    return orjson.dumps(event.model_dump(mode="json", exclude_none=True))


def event_headers(event: Event, traceparent: str | None = None) -> list[Header]:
    source = f"{event.source}/{event.run_id}" if event.run_id else str(event.source)
    more = [("traceparent", traceparent.encode())] if traceparent else []
    return cloud_event_headers(event.event_id, event.kind, source, format_instant(event.occurred_at), *more)
