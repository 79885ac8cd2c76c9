"""Batches: neighbours, duplicates, odd shapes."""

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


def test_a_bad_item_never_costs_its_neighbours() -> None:
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


def test_of_several_kinds_the_good_ones_are_taken_and_the_whole_is_parked() -> None:
    batch = read(item(reaction={"action": "react"}))
    assert [event.kind for event in batch.events] == ["message"]
    assert [dead_letter.reason for dead_letter in batch.dead_letters] == [Reason.NO_MESSAGE_ID]


def test_the_same_fact_has_the_same_id_whatever_surrounds_it() -> None:
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


def test_a_message_without_a_time_takes_its_entrys() -> None:
    timeless = {key: value for key, value in item().items() if key != "timestamp"}
    (event,) = read(timeless).events
    assert event.occurred_at == "2024-08-12T18:16:51.083Z"


def test_a_change_with_a_senseless_field_is_parked_and_costs_no_neighbour() -> None:
    batch = read(item("m_1"), changes=[{"field": [], "value": {}}, {"field": {"a": 1}}])
    assert [event.kind for event in batch.events] == ["message"]
    assert [dead_letter.reason for dead_letter in batch.dead_letters] == [Reason.MALFORMED, Reason.MALFORMED]


def test_half_an_emoji_does_not_cost_the_batch() -> None:
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
def test_what_is_not_understood_is_parked_whole_with_its_reason(body: bytes, reason: Reason) -> None:
    batch = normalise(body, NOW)
    assert not batch.events
    (dead_letter,) = batch.dead_letters
    assert dead_letter.reason is reason


def test_a_dead_letter_of_bytes_that_are_no_text_loses_none() -> None:
    (dead_letter,) = normalise(b"\xff\x00", NOW).dead_letters
    assert dead_letter.raw == b"\xff\x00"


@pytest.mark.parametrize("body", [b"\x01" * 3000, b'"' * 3000, b"\xff" * 3000, "é😀".encode() * 500])
def test_a_dead_letter_is_hardly_longer_than_what_it_holds(body: bytes) -> None:
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
def test_bad_items_without_number_are_parked_as_one_body_and_cost_no_neighbour(entry: dict[str, Any]) -> None:
    entry["messaging"] = [item("m_1"), *entry.get("messaging", []), item("m_2")]
    body = orjson.dumps({"object": "page", "entry": [entry]})
    batch = normalise(body, NOW)
    assert [event.value["mid"] for event in batch.events] == ["m_1", "m_2"]
    assert [dead_letter.raw for dead_letter in batch.dead_letters] == [body]


def test_entries_without_number_that_cannot_be_opened_are_parked_as_one_body() -> None:
    body = orjson.dumps({"object": "page", "entry": [1] * 15_000})
    assert [dead_letter.raw for dead_letter in normalise(body, NOW).dead_letters] == [body]


@pytest.mark.parametrize("entries", [[1] * 20_001, [{"id": PAGE, "standby": [1] * 20_000}]])
def test_more_items_than_facebook_ever_sends_are_parked_unread(entries: list[Any]) -> None:
    body = orjson.dumps({"object": "page", "entry": entries})
    (dead_letter,) = normalise(body, NOW).dead_letters
    assert (dead_letter.reason, dead_letter.raw) == (Reason.MALFORMED, body)


def test_a_thousand_bad_items_of_an_ordinary_size_are_a_thousand_letters() -> None:
    bad = [item(f"m_{number}", reaction={"action": "none", "mid": "m", "note": "x" * 300}) for number in range(1000)]
    batch = read(*bad)
    assert len(batch.events) == len(batch.dead_letters) == 1000
