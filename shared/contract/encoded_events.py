"""Events as producers write them: the JSON values of `shared/events.py`, made without a model in between. Pure.

A model costs more than everything else a webhook needs. Tests hold every draft of every known body against the model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from shared.contract.events import Header, cloud_event_headers


class EncodedEvent(NamedTuple):
    """`value` has the event's fields as JSON has them; one that is missing has the contract's default."""

    kind: str
    event_id: str
    conversation: str
    """`str()` of its ConversationKey."""
    occurred_at: str
    """RFC 3339, UTC, milliseconds."""
    value: dict[str, Any]


def dump_encoded_event(draft: EncodedEvent) -> bytes:
    """The record's value."""
    return orjson.dumps(draft.value)


def encoded_event_headers(draft: EncodedEvent, *more: Header) -> list[Header]:
    source, run_id = draft.value["source"], draft.value.get("run_id")
    name = f"{source}/{run_id}" if run_id else source
    return cloud_event_headers(draft.event_id, draft.kind, name, draft.occurred_at, *more)
