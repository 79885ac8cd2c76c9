"""Events as producers write them: the JSON values of `shared/events.py`, made without a model in between. Pure.

A model costs more than everything else a webhook needs. Tests hold every draft of every known body against the model.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from shared.events import TYPE_PREFIX

Header = tuple[str, bytes]


class Draft(NamedTuple):
    """`value` has the event's fields as JSON has them; one that is missing has the contract's default."""

    kind: str
    event_id: str
    conversation: str
    """`str()` of its ConversationKey."""
    occurred_at: str
    """RFC 3339, UTC, milliseconds."""
    value: dict[str, Any]


def dump_draft(draft: Draft) -> bytes:
    """The record's value."""
    return orjson.dumps(draft.value)


def draft_headers(draft: Draft, *more: Header) -> list[Header]:
    """CloudEvents 1.0, Kafka binary content mode, and `more`."""
    return [
        *_fixed_headers(draft.kind, draft.value["source"], draft.value.get("run_id")),
        ("ce_id", draft.event_id.encode()),
        ("ce_time", draft.occurred_at.encode()),
        *more,
    ]


@lru_cache(256)
def _fixed_headers(kind: str, source: str, run_id: str | None) -> tuple[Header, ...]:
    name = f"/{TYPE_PREFIX}/{source}" + (f"/{run_id}" if run_id else "")
    return (
        ("ce_specversion", b"1.0"),
        ("ce_type", f"{TYPE_PREFIX}.{kind}.v1".encode()),
        ("ce_source", name.encode()),
        ("content-type", b"application/json"),
    )
