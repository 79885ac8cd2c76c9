"""Events as producers write them: JSON values of `shared/contract/events.py`, made without building a model. Pure.

Building a model costs more than everything else a webhook needs. Tests compare the encoded events of every known body
with the model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from shared.contract.events import Header, cloud_event_headers


class EncodedEvent(NamedTuple):
    """`value` has the event's fields in their JSON form; a missing field has the contract's default."""

    kind: str
    event_id: str
    conversation: str
    """`str()` of its ConversationKey."""
    occurred_at: str
    """RFC 3339, UTC, milliseconds."""
    value: dict[str, Any]


def dump_encoded_event(event: EncodedEvent) -> bytes:
    return orjson.dumps(event.value)


def encoded_event_headers(event: EncodedEvent, *more: Header) -> list[Header]:
    source, run_id = event.value["source"], event.value.get("run_id")
    name = f"{source}/{run_id}" if run_id else source
    return cloud_event_headers(event.event_id, event.kind, name, event.occurred_at, *more)
