"""Normalisation of batches, duplicates and unusual shapes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from services.receiver.parse.normalise_webhook import NormalisedWebhook, normalise
from shared.contract.dead_letters import dump_dead_letter
from shared.contract.failures import Reason

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
PAGE, PSID = "371000000000001", "8130000000000001"


def item(mid: str = "m_1", **fields: Any) -> dict[str, Any]:
    return {
        "sender": {"id": PSID},
        "recipient": {"id": PAGE},
        "timestamp": 1723486609684,
        "message": {"mid": mid, "text": "hi"},
        **fields,
    }


def read(*items: Any, name: str = "page", **entry: Any) -> NormalisedWebhook:
    body = {"object": name, "entry": [{"id": PAGE, "time": 1723486611083, "messaging": list(items), **entry}]}
    return normalise(orjson.dumps(body), NOW)


def test_an_invalid_item_does_not_affect_others() -> None:
    batch = read(item("m_1"), "not an item", item("m_2", message="not a message"), item("m_3"), None, 7)
    assert [event.event_id for event in batch.events] == [f"message:messenger:{PAGE}:1", f"message:messenger:{PAGE}:3"]
    assert [dead_letter.reason for dead_letter in batch.dead_letters] == [
        Reason.MALFORMED,
        Reason.MALFORMED,
        Reason.UNKNOWN_KIND,
        Reason.MALFORMED,
    ]


def test_several_kinds_in_one_item_are_several_events() -> None:
    both = item(reaction={"mid": "m_0", "action": "react", "reaction": "love", "emoji": "❤"}, delivery={"watermark": 1})
    batch = read(both)
    assert [event.kind for event in batch.events] == ["message", "reaction"]
    assert batch.dropped == {"delivery": 1}


def test_valid_kinds_of_an_item_are_published_and_the_item_is_a_dead_letter() -> None:
    batch = read(item(reaction={"action": "react"}))
    assert [event.kind for event in batch.events] == ["message"]
    assert [dead_letter.reason for dead_letter in batch.dead_letters] == [Reason.NO_MESSAGE_ID]


def test_an_events_id_does_not_depend_on_its_envelope() -> None:
    facts = [
        item(),
        item(message={"mid": "1", "text": "hi", "seq": 2}),
        {**item(), "postback": {"payload": "P"}},
        {key: value for key, value in item(referral={"ref": "r"}).items() if key != "message"},
    ]
    first = normalise(orjson.dumps({"object": "page", "entry": [{"id": PAGE, "time": 1, "messaging": facts}]}), NOW)
    later = NOW + timedelta(hours=1)
    again = normalise(orjson.dumps({"object": "page", "entry": [{"id": int(PAGE), "messaging": facts}]}), later)
    assert [event.event_id for event in again.events] == [event.event_id for event in first.events]
    assert len({event.event_id for event in first.events}) == 3


def test_two_pages_in_one_body_are_two_accounts() -> None:
    entries = [{"id": page, "time": 1, "messaging": [item(recipient={"id": page})]} for page in ("1", "2")]
    batch = normalise(orjson.dumps({"object": "page", "entry": entries}), NOW)
    assert [event.value["account_id"] for event in batch.events] == ["1", "2"]


def test_an_echo_belongs_to_the_customer_it_was_sent_to() -> None:
    echo = item(sender={"id": PAGE}, recipient={"id": PSID}, message={"mid": "m_1", "is_echo": True, "text": "hello"})
    (event,) = read(echo).events
    assert (event.value["customer_id"], event.value["direction"]) == (PSID, "outbound")


def test_a_message_without_a_time_gets_its_entrys_time() -> None:
    timeless = {key: value for key, value in item().items() if key != "timestamp"}
    (event,) = read(timeless).events
    assert event.occurred_at == "2024-08-12T18:16:51.083Z"


def test_an_invalid_change_is_a_dead_letter_and_does_not_affect_others() -> None:
    batch = read(item("m_1"), changes=[{"field": [], "value": {}}, {"field": {"a": 1}}])
    assert [event.kind for event in batch.events] == ["message"]
    assert [dead_letter.reason for dead_letter in batch.dead_letters] == [Reason.MALFORMED, Reason.MALFORMED]


@pytest.mark.parametrize("group", ["changes", "standby"])
@pytest.mark.parametrize("value", ["x", {"field": "messages"}, 7])
def test_an_odd_group_of_items_does_not_affect_the_others(group: str, value: Any) -> None:
    batch = read(item("m_1"), **{group: value})
    assert [event.kind for event in batch.events] == ["message"]
    [letter] = batch.dead_letters
    assert (letter.reason, letter.detail) == (Reason.MALFORMED, group)
    assert orjson.loads(letter.raw)["entry"] == [{"id": PAGE, "time": 1723486611083, group: value}]


@pytest.mark.parametrize("items", [[], [item("m_1")]])
def test_a_list_of_an_unknown_name_is_a_dead_letter(items: list[Any]) -> None:
    batch = read(*items, threads=[{"id": "t_1"}], empty=[])
    assert [event.kind for event in batch.events] == ["message"] * len(items)
    [letter] = batch.dead_letters
    assert letter.reason is Reason.UNKNOWN_KIND
    assert orjson.loads(letter.raw)["entry"] == [{"id": PAGE, "time": 1723486611083, "threads": [{"id": "t_1"}]}]
    assert batch.dropped == {}
    assert normalise(letter.raw, NOW).dead_letters == [letter]


def test_half_a_surrogate_pair_does_not_reject_the_batch() -> None:
    body = orjson.dumps({"object": "page", "entry": [{"id": PAGE, "messaging": [item("m_1"), item("m_2")]}]})
    batch = normalise(body.replace(b'"hi"', b'"hi \\ud83d"', 1), NOW)
    assert [event.value["text"] for event in batch.events] == ["hi �", "hi"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.NOT_JSON),
        (b"\xff\xfe", Reason.NOT_JSON),
        (b'{"object":"page","entry":[NaN]}', Reason.NOT_JSON),
        (b"[" * 100_000 + b"]" * 100_000, Reason.TOO_DEEP),
        (b"[" * 300 + b"]" * 300, Reason.TOO_DEEP),
        (b"[]", Reason.MALFORMED),
        (b'"page"', Reason.MALFORMED),
        (b'{"object":"user","entry":[]}', Reason.UNKNOWN_OBJECT),
        (b'{"object":"page","entry":{}}', Reason.MALFORMED),
        (b'{"object":"page","entry":[{}]}', Reason.NO_ACCOUNT),
        (b'{"object":"page","entry":[{"id":"a:b"}]}', Reason.BAD_ID),
    ],
)
def test_a_body_that_is_not_understood_is_a_dead_letter_with_a_reason(body: bytes, reason: Reason) -> None:
    batch = normalise(body, NOW)
    assert not batch.events
    (dead_letter,) = batch.dead_letters
    assert dead_letter.reason is reason


def test_a_dead_letter_keeps_bytes_that_are_not_text() -> None:
    (dead_letter,) = normalise(b"\xff\x00", NOW).dead_letters
    assert dead_letter.raw == b"\xff\x00"


@pytest.mark.parametrize("body", [b"\x01" * 3000, b'"' * 3000, b"\xff" * 3000, "é😀".encode() * 500])
def test_a_dead_letter_adds_little_to_its_payload(body: bytes) -> None:
    (dead_letter,) = normalise(body, NOW).dead_letters
    assert dead_letter.raw == body
    assert len(dump_dead_letter(dead_letter)) < len(body) * 4 / 3 + 300


@pytest.mark.parametrize(
    "entry",
    [
        {"id": PAGE, "note": "x" * 100_000, "messaging": [1] * 1000},
        {"id": PAGE, "messaging": [1] * 15_000},
        {"id": PAGE, "changes": [{"field": "messages", "value": 1}] * 15_000},
    ],
)
def test_very_many_invalid_items_are_one_dead_letter_and_do_not_affect_others(entry: dict[str, Any]) -> None:
    entry["messaging"] = [item("m_1"), *entry.get("messaging", []), item("m_2")]
    body = orjson.dumps({"object": "page", "entry": [entry]})
    batch = normalise(body, NOW)
    assert [event.value["mid"] for event in batch.events] == ["m_1", "m_2"]
    assert [dead_letter.raw for dead_letter in batch.dead_letters] == [body]


def test_very_many_invalid_entries_are_one_dead_letter() -> None:
    body = orjson.dumps({"object": "page", "entry": [1] * 15_000})
    assert [dead_letter.raw for dead_letter in normalise(body, NOW).dead_letters] == [body]


@pytest.mark.parametrize("entries", [[1] * 20_001, [{"id": PAGE, "standby": [1] * 20_000}]])
def test_a_body_with_more_items_than_facebook_sends_is_one_dead_letter(entries: list[Any]) -> None:
    body = orjson.dumps({"object": "page", "entry": entries})
    (dead_letter,) = normalise(body, NOW).dead_letters
    assert (dead_letter.reason, dead_letter.raw) == (Reason.MALFORMED, body)


def test_a_thousand_invalid_items_are_a_thousand_dead_letters() -> None:
    bad = [item(f"m_{number}", reaction={"action": "none", "mid": "m", "note": "x" * 300}) for number in range(1000)]
    batch = read(*bad)
    assert len(batch.events) == len(batch.dead_letters) == 1000
