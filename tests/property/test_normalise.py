"""Whatever a sender writes, nothing is lost and nothing is raised."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from services.receiver.normalise import normalise
from shared.events import dump_event, load_event

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8), st.sampled_from(["1527459824", "2021-09-08T06:34:04+0000", "m_1", "react"]),
)  # fmt: skip
KEYS = ["id", "sender", "recipient", "timestamp", "message", "message_edit", "reaction", "postback", "referral"]
KEYS += ["read", "mid", "text", "attachments", "type", "payload", "url", "title", "is_echo", "is_deleted", "reply_to"]
KEYS += ["story", "num_edit", "action", "emoji", "ref", "field", "value", "messaging", "standby", "changes", "time"]


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)


values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | objects(inner), max_leaves=12)
sides = st.fixed_dictionaries({"id": st.sampled_from(["PAGE", "PSID", 7, None])})
kinds = dict.fromkeys(("message", "postback", "reaction", "message_edit", "referral", "read"), values)
items = values | st.fixed_dictionaries(
    {}, optional={"sender": sides, "recipient": sides, "timestamp": scalars, **kinds}
)
entries = st.fixed_dictionaries(
    {"id": st.sampled_from(["PAGE", 7])}, optional={"messaging": st.lists(items, max_size=4), "changes": values}
)
bodies = st.fixed_dictionaries(
    {"object": st.sampled_from(["page", "instagram"]), "entry": st.lists(entries, max_size=3)}
)


@given(st.one_of(bodies, values))
def test_no_json_is_an_error_and_every_event_can_be_published(body: Any) -> None:
    batch = normalise(orjson.dumps(body), NOW)
    for event in batch.events:
        assert load_event(dump_event(event)) == event


@given(st.binary(max_size=200))
def test_no_bytes_are_an_error(body: bytes) -> None:
    assert not normalise(body, NOW).events


@given(st.lists(items, min_size=1, max_size=5))
def test_every_item_is_an_event_or_a_letter_or_counted(messaging: list[Any]) -> None:
    body = {"object": "page", "entry": [{"id": "PAGE", "messaging": messaging}]}
    batch = normalise(orjson.dumps(body), NOW)
    assert len(batch.events) + len(batch.letters) + batch.dropped.total() >= len(messaging)


@given(st.lists(items, max_size=4), st.integers(0, 4))
def test_a_good_item_is_read_whatever_stands_beside_it(messaging: list[Any], place: int) -> None:
    good = {
        "sender": {"id": "9"},
        "recipient": {"id": "PAGE"},
        "timestamp": 1723486609684,
        "message": {"mid": "m_good"},
    }
    body = {"object": "page", "entry": [{"id": "PAGE", "messaging": [*messaging[:place], good, *messaging[place:]]}]}
    ids = [event.event_id for event in normalise(orjson.dumps(body), NOW).events]
    assert "message:messenger:PAGE:good" in ids
