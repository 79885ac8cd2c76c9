"""The published contracts match the code, and old values stay readable."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from services.cli.data_model import data_model_page, descriptions
from services.cli.schema import contracts
from services.cli.setup import configuration_page
from shared.contract.contacts import dump_contact_updated, load_contact_updated
from shared.contract.events import load_event
from tests.support.models import dump_event, event_headers

ROOT = Path(__file__).parents[4]
GOLDEN = Path(__file__).parents[2] / "golden"
EVENTS = (GOLDEN / "message-events-v1.jsonl").read_bytes().splitlines()
CONTACTS = (GOLDEN / "contact-updated-v1.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize("name", contracts())
def test_the_checked_in_schema_is_current(name: str) -> None:
    checked_in = json.loads((ROOT / "docs" / "contracts" / name).read_text())
    assert checked_in == contracts()[name], "generate it: leadstream schema --dir docs/contracts"


def test_the_configuration_page_is_current() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == configuration_page(), "generate it: leadstream config > docs/configuration.md"


def test_the_data_model_page_is_current() -> None:
    page = (ROOT / "docs" / "data-model.md").read_text()
    assert page == data_model_page(), "generate it: leadstream schema --data-model > docs/data-model.md"


def test_the_data_model_page_has_every_collection() -> None:
    store = (ROOT / "shared").rglob("*.py")
    used = {name for path in store for name in re.findall(r"\bdatabase\.([a-z_]+)\b(?!\()", path.read_text())}
    assert descriptions().keys() == used - {"client"}


def test_there_is_a_golden_event_of_every_kind() -> None:
    kinds = {json.loads(line)["kind"] for line in EVENTS}
    mapping = contracts()["message-events.schema.json"]["discriminator"]["mapping"]
    assert kinds == set(mapping)


@pytest.mark.parametrize("line", EVENTS)
def test_an_event_of_the_first_release_reads_and_writes_unchanged(line: bytes) -> None:
    assert json.loads(dump_event(load_event(line))) == json.loads(line)


@pytest.mark.parametrize("line", EVENTS)
def test_an_event_is_valid_by_its_schema(line: bytes) -> None:
    jsonschema.validate(json.loads(line), contracts()["message-events.schema.json"])


@pytest.mark.parametrize("line", CONTACTS)
def test_a_contact_of_the_first_release_reads_and_writes_unchanged(line: bytes) -> None:
    assert json.loads(dump_contact_updated(load_contact_updated(line))) == json.loads(line)
    jsonschema.validate(json.loads(line), contracts()["contact-updated.schema.json"])


@pytest.mark.parametrize("line", EVENTS)
def test_unknown_fields_are_ignored(line: bytes) -> None:
    assert load_event(json.dumps({**json.loads(line), "added_in_a_later_release": 1}).encode()) == load_event(line)


def test_headers_are_cloud_events_in_binary_mode() -> None:
    event = load_event(EVENTS[0])
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert dict(event_headers(event, trace)) == {
        "ce_specversion": b"1.0",
        "ce_id": event.event_id.encode(),
        "ce_type": b"leadstream.message.v1",
        "ce_source": b"/leadstream/webhook",
        "ce_time": b"2026-11-24T09:00:00.684Z",
        "content-type": b"application/json",
        "traceparent": trace.encode(),
    }
