"""Oracles of the receiver for any input, used by fuzzing, hypothesis and the replay.

Each check raises AssertionError when a promise is broken. The code under test is an argument, so that a test can pass
a version with a defect.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from services.receiver.http.signature import is_signed
from services.receiver.parse.json_body import parse_body
from services.receiver.parse.normalise_webhook import NormalisedWebhook, normalise
from shared.contract.dead_letters import DeadLetter, dead_letter_headers, dump_dead_letter, load_dead_letter
from shared.contract.encoded_events import EncodedEvent, dump_encoded_event, encoded_event_headers
from shared.contract.events import format_instant, load_event
from shared.contract.failures import Reason, RejectedError
from shared.contract.ids import ConversationKey
from tests.fuzz.json_oracle import UNREADABLE, contains, depth_of, read_json
from tests.support.models import dump_event, event_headers

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LATER = datetime(2027, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)
LEVELS = 254
"""The most levels of an accepted body."""
ITEM_GROUPS = ("messaging", "standby", "changes")
Normalise = Callable[[bytes, datetime], NormalisedWebhook]


def check_signature(
    body: bytes, header: str, secrets: Sequence[str], signed: Callable[[bytes, str, Sequence[str]], bool] = is_signed
) -> None:
    """Check that only the exact HMAC of the body under one of the secrets is a valid header."""
    right = {"sha256=" + hmac.new(each.encode(), body, hashlib.sha256).hexdigest() for each in secrets}
    assert signed(body, header, secrets) is (header in right)


def check_parse(body: bytes, parse: Callable[[bytes], Any] = parse_body) -> None:
    """Check that `parse` accepts what the standard library accepts, with equal values that can be serialised."""
    expected = read_json(body)
    parsed, reason = _tried(parse, body)
    if reason is not None:
        assert reason in (Reason.NOT_JSON, Reason.TOO_DEEP)
        assert expected is UNREADABLE or depth_of(expected) > LEVELS
        return
    assert expected is not UNREADABLE
    assert parsed == expected
    assert orjson.loads(orjson.dumps(parsed)) == parsed


def check_normalise(body: bytes, make: Normalise = normalise) -> NormalisedWebhook:
    """Check every promise about a body's events, dead letters and counts. Returns the normalised body."""
    batch = make(body, NOW)
    assert facts(make(body, NOW)) == facts(batch)
    assert ids(make(body, LATER)) == ids(batch)
    for draft in batch.events:
        check_draft(draft)
    for dead_letter in batch.dead_letters:
        check_letter(dead_letter, make)
    assert all(number > 0 for number in batch.dropped.values())
    _check_pieces(body, batch, make)
    return batch


def check_draft(draft: EncodedEvent) -> None:
    """Check that it is an event of the contract with all of its fields and no others."""
    event = load_event(dump_encoded_event(draft))
    assert (event.kind, event.event_id, str(event.conversation)) == (draft.kind, draft.event_id, draft.conversation)
    assert ConversationKey.parse(draft.conversation) == event.conversation
    assert format_instant(event.occurred_at) == draft.occurred_at == draft.value["occurred_at"]
    read = orjson.loads(dump_event(event))
    assert contains(read, draft.value)
    assert load_event(dump_event(event)) == event
    headers = encoded_event_headers(draft, ("traceparent", b"00"))
    assert dict(headers) == {**dict(event_headers(event)), "traceparent": b"00"}
    assert {type(value) for _, value in headers} == {bytes}
    draft.conversation.encode()


def check_letter(dead_letter: DeadLetter, make: Normalise = normalise) -> None:
    """Check that it survives serialisation, and that its payload normalises to the same dead letter."""
    assert load_dead_letter(dump_dead_letter(dead_letter)) == dead_letter
    assert all(isinstance(value, bytes) for _, value in dead_letter_headers(dead_letter))
    again = make(dead_letter.raw, NOW).dead_letters
    assert [(each.letter_id, each.reason) for each in again] == [(dead_letter.letter_id, dead_letter.reason)]


def ids(batch: NormalisedWebhook) -> list[str]:
    return [draft.event_id for draft in batch.events] + [dead_letter.letter_id for dead_letter in batch.dead_letters]


def facts(*batches: NormalisedWebhook) -> tuple[Counter[bytes], Counter[tuple[str, bytes]], dict[str, int]]:
    """Return the contents of all bodies together, independently of order."""
    events = Counter(
        orjson.dumps(draft.value, option=orjson.OPT_SORT_KEYS) for each in batches for draft in each.events
    )
    dead_letters = Counter(
        (dead_letter.reason.value, dead_letter.raw) for each in batches for dead_letter in each.dead_letters
    )
    dropped: Counter[str] = Counter()
    for each in batches:
        dropped.update(each.dropped)
    return events, dead_letters, dict(dropped)


def _check_pieces(body: bytes, batch: NormalisedWebhook, make: Normalise) -> None:
    """Check that a body has the contents of its entries alone, and an entry those of its items alone."""
    parsed, _ = _tried(parse_body, body)
    if not _has_entries(parsed):
        assert not batch.events
        assert [dead_letter.raw for dead_letter in batch.dead_letters] == [body] or batch.dropped == {
            "dashboard_test": 1
        }
        return
    entries = [{**_around(parsed), "entry": [entry]} for entry in parsed.get("entry") or []]
    alone = [make(orjson.dumps(each), NOW) for each in entries]
    assert facts(batch) == facts(*alone)
    for entry, whole in zip(entries, alone, strict=True):
        _check_entry(entry, whole, make)


def _check_entry(body: dict[str, Any], whole: NormalisedWebhook, make: Normalise) -> None:
    items = list(_items(body))
    if not items:
        assert not whole.events
        assert len(whole.dead_letters) + sum(whole.dropped.values()) == 1
        return
    alone = [make(orjson.dumps(each), NOW) for each in items]
    for each in alone:
        assert len(each.dead_letters) <= 1
        assert each.events or each.dead_letters or each.dropped
    assert facts(whole) == facts(*alone)


def _items(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a body for each item of the only entry, for each group that is no list, and for each unknown list.

    None when the whole entry becomes a dead letter.
    """
    entry = body["entry"][0]
    if not isinstance(entry, dict) or not _is_id(entry.get("id")):
        return
    groups = {name: entry[name] for name in ITEM_GROUPS if entry.get(name) is not None}
    lists = {key: value for key, value in entry.items() if isinstance(value, list) and value and key != "time"}
    rest = {key: value for key, value in entry.items() if key not in groups and key not in lists}
    for name, items in groups.items():
        for item in [[each] for each in items] if isinstance(items, list) else [items]:
            yield {**body, "entry": [{**rest, name: item}]}
    for name, unknown in lists.items():
        if name not in groups:
            yield {**body, "entry": [{**rest, name: unknown}]}


def _is_id(value: object) -> bool:
    """A second implementation, independent of the code under test."""
    if isinstance(value, str):
        return 1 <= len(value) <= 128 and ":" not in value and value.isprintable()
    return type(value) is int


def _tried(parse: Callable[[bytes], Any], body: bytes) -> tuple[Any, Reason | None]:
    """Return what `parse` returns, or its reason to reject."""
    try:
        return parse(body), None
    except RejectedError as error:
        return None, error.reason


def _has_entries(parsed: Any) -> bool:
    if not isinstance(parsed, dict) or parsed.get("object") not in ("page", "instagram"):
        return False
    is_test = "entry" not in parsed and {"field", "value"} <= set(parsed.get("sample", parsed) or ())
    return isinstance(parsed.get("entry"), list | None) and not is_test


def _around(parsed: dict[str, Any]) -> dict[str, Any]:
    return {"object": parsed["object"]}
