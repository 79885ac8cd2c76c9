"""Every body seen in the wild or in documentation yields exactly its expected events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.receiver.parse.normalise_webhook import normalise
from shared.contract.encoded_events import EncodedEvent, dump_encoded_event, encoded_event_headers
from shared.contract.events import load_event
from tests.support.models import event_headers

FOLDER = Path(__file__).parent.parent.parent / "payloads" / "webhook"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
RECEIVED = "2026-11-24T09:00:00.000Z"


def whole(draft: EncodedEvent) -> dict[str, Any]:
    """Return an event's fields except `received_at`, which is the test's own clock."""
    value: dict[str, Any] = json.loads(dump_encoded_event(draft))
    assert value.pop("received_at") == RECEIVED
    return value


def outcome(body: bytes) -> dict[str, Any]:
    batch = normalise(body, NOW)
    return {
        "events": [whole(draft) for draft in batch.events],
        "parked": [dead_letter.reason.value for dead_letter in batch.dead_letters],
        "dropped": dict(batch.dropped),
    }


def test_every_body_has_an_expectation() -> None:
    assert set(EXPECTED) == {path.name for path in FOLDER.glob("*.json")} - {"expected.json"}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_body_yields_exactly_its_expected_events(name: str) -> None:
    body = (FOLDER / name).read_bytes()
    assert outcome(body) == EXPECTED[name]


def drafts(name: str) -> list[EncodedEvent]:
    return normalise((FOLDER / name).read_bytes(), NOW).events


@pytest.mark.parametrize("name", EXPECTED)
def test_events_of_a_body_match_the_contract(name: str) -> None:
    for draft in drafts(name):
        event = load_event(dump_encoded_event(draft))
        assert (draft.kind, draft.event_id, draft.conversation) == (event.kind, event.event_id, str(event.conversation))
        assert dict(encoded_event_headers(draft)) == dict(event_headers(event))
        assert draft.value == event.model_dump(mode="json", exclude_unset=True), (
            "nothing that the contract does not know"
        )


@pytest.mark.parametrize("name", EXPECTED)
def test_a_dead_letter_normalises_to_itself(name: str) -> None:
    batch = normalise((FOLDER / name).read_bytes(), NOW)
    for dead_letter in batch.dead_letters:
        again = normalise(dead_letter.raw, NOW)
        assert [each.reason for each in again.dead_letters] == [dead_letter.reason]
