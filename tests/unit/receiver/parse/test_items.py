"""The fields of events of shapes that Facebook documents or may send, and that no recorded body has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from services.receiver.parse.normalise_webhook import NormalisedWebhook, normalise
from shared.contract.failures import Reason

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
PAGE, PSID = "371000000000001", "8130000000000001"
SENT = 1723486609684
COMMON = {
    "platform": "messenger",
    "account_id": PAGE,
    "customer_id": PSID,
    "direction": "inbound",
    "occurred_at": "2024-08-12T18:16:49.684Z",
    "received_at": "2026-11-24T09:00:00.000Z",
    "source": "webhook",
}
"""The fields that the events of all items below share. An event has only these and those that a test names."""
MESSAGE = {"message_id": f"messenger:{PAGE}:1", "mid": "m_1"}
URL = {"type": "unknown", "url": "u"}
STORY = {"reply_to": {"story_id": "1"}}


def read(group: str = "messaging", /, **kinds: Any) -> NormalisedWebhook:
    item = {"sender": {"id": PSID}, "recipient": {"id": PAGE}, "timestamp": SENT, **kinds}
    body = {"object": "page", "entry": [{"id": PAGE, "time": SENT + 1000, group: [item]}]}
    return normalise(orjson.dumps(body), NOW)


def own(batch: NormalisedWebhook) -> dict[str, Any]:
    """Return the fields of the only event that are not in every event."""
    [draft] = batch.events
    assert batch.dead_letters == []
    assert COMMON.items() <= draft.value.items()
    return {name: value for name, value in draft.value.items() if name not in {*COMMON, "kind", "event_id"}}


def parts(**message: Any) -> dict[str, Any]:
    """Return a message's fields except its id."""
    return {name: value for name, value in own(read(message={"mid": "m_1", **message})).items() if name not in MESSAGE}


def event_id(**kinds: Any) -> str:
    [draft] = read(**kinds).events
    return draft.event_id


@pytest.mark.parametrize(
    "name",
    ["text", "attachments", "reply_to", "quick_reply", "sticker_id", "referral", "app_id", "is_unsupported"],
)
def test_a_part_that_is_null_is_left_out(name: str) -> None:
    assert parts(**{name: None}) == {}


@pytest.mark.parametrize("name", ["reply_to", "quick_reply", "referral"])
def test_an_empty_part_is_left_out(name: str) -> None:
    assert parts(**{name: {}}) == {}


DEEP: Any = "x"
for _ in range(110):
    DEEP = {"a": DEEP}


def odd(batch: NormalisedWebhook) -> tuple[dict[str, Any], str]:
    """Return the fields of the only event, and what its dead letter says was left out."""
    [draft], [letter] = batch.events, batch.dead_letters
    assert letter.reason is Reason.ODD_PART
    again = normalise(letter.raw, NOW)
    assert [event.event_id for event in again.events] == [draft.event_id], "the dead letter has the whole item"
    fields = {name: value for name, value in draft.value.items() if name not in {*COMMON, *MESSAGE, "kind", "event_id"}}
    return fields, letter.detail.removeprefix("left out: ")


@pytest.mark.parametrize(
    ("value", "name", "rest"),
    [
        ({"text": ["hi"]}, "text", {}),
        ({"text": {"a": 1}, "sticker_id": "7"}, "text", {"sticker_id": "7"}),
        ({"attachments": {}}, "attachments", {}),
        ({"attachments": "u"}, "attachments", {}),
        ({"attachments": [7, {"type": "audio"}]}, "attachments", {"attachments": [{"type": "audio"}]}),
        (
            {"attachments": [{"type": "image", "payload": "u", "title": "t"}]},
            "attachments.payload",
            {"attachments": [{"type": "image", "title": "t"}]},
        ),
        (
            {"attachments": [{"type": [], "payload": {"url": ["u"], "title": {"t": 1}, "more": 1}}]},
            "attachments.type, attachments.url, attachments.title",
            {"attachments": [{"type": "unknown", "payload": {"more": 1}}]},
        ),
        ({"attachments": [{"payload": {"url": "u", "more": DEEP}}]}, "attachments.payload", {"attachments": [URL]}),
        ({"attachments": [{"payload": {"url": "u", "a\0": 1}}]}, "attachments.payload", {"attachments": [URL]}),
        ({"attachments": [{"payload": {"url": "u", "a": 1 << 63}}]}, "attachments.payload", {"attachments": [URL]}),
        ({"reply_to": []}, "reply_to", {}),
        ({"reply_to": {"mid": {}, "story": {"id": "1", "url": []}}}, "reply_to.mid, reply_to.story_url", STORY),
        ({"reply_to": {"mid": "m_0", "story": "x"}}, "reply_to.story", {"reply_to": {"mid": "m_0"}}),
        ({"quick_reply": "Yes"}, "quick_reply", {}),
        ({"quick_reply": {"payload": []}}, "quick_reply", {}),
        ({"sticker_id": {}}, "sticker_id", {}),
        ({"referral": []}, "referral", {}),
        ({"referral": {"ref": {}, "ad_id": "1"}}, "referral.ref", {"referral": {"ad_id": "1"}}),
        ({"referral": {"ref": "r", "more": DEEP}}, "referral.payload", {"referral": {"ref": "r"}}),
    ],
)
def test_an_odd_part_of_a_message_is_left_out_and_named(value: dict[str, Any], name: str, rest: dict[str, Any]) -> None:
    assert odd(read(message={"mid": "m_1", **value})) == (rest, name)


@pytest.mark.parametrize(
    ("kinds", "name", "rest"),
    [
        ({"message_edit": {"mid": "m_1", "num_edit": 2, "text": {}}}, "text", {"num_edit": 2}),
        ({"message_edit": {"mid": "m_1", "num_edit": "2", "text": "new"}}, "num_edit", {"text": "new"}),
        ({"message_edit": {"mid": "m_1", "num_edit": 1 << 63, "text": "new"}}, "num_edit", {"text": "new"}),
        ({"reaction": {"mid": "m_1", "action": "react", "reaction": []}}, "reaction", {"action": "react"}),
        ({"reaction": {"mid": "m_1", "action": "react", "emoji": []}}, "emoji", {"action": "react"}),
        ({"postback": {"mid": "m_1", "title": [], "payload": "P"}}, "title", {"payload": "P"}),
        ({"postback": {"mid": "m_1", "payload": {}, "referral": "r"}}, "payload, referral", {}),
        ({"message": {"mid": "m_1"}, "recipient": "me"}, "recipient", {}),
        ({"message": {"mid": "m_1"}, "recipient": {"id": ["1"]}}, "recipient", {}),
    ],
)  # fmt: skip
def test_an_odd_part_of_any_event_is_left_out_and_named(kinds: Any, name: str, rest: dict[str, Any]) -> None:
    assert odd(read(**kinds)) == (rest, name)


@pytest.mark.parametrize("timestamp", ["", 0, "soon", SENT * 1000, [], True, -1, 1e300])
@pytest.mark.parametrize(("message", "kind"), [({"text": "hi"}, "message"), ({"is_deleted": True}, "deletion")])
def test_an_odd_time_is_replaced_by_the_entrys(timestamp: object, message: dict[str, Any], kind: str) -> None:
    batch = read(message={"mid": "m_1", **message}, timestamp=timestamp)
    assert [(event.kind, event.occurred_at) for event in batch.events] == [(kind, "2024-08-12T18:16:50.684Z")]
    assert [(letter.reason, letter.detail) for letter in batch.dead_letters] == [
        (Reason.ODD_PART, "left out: timestamp")
    ]


def test_an_odd_time_in_an_odd_entry_is_replaced_by_the_arrival() -> None:
    item = {"sender": {"id": PSID}, "recipient": {"id": PAGE}, "timestamp": 0, "message": {"mid": "m_1"}}
    body = {"object": "page", "entry": [{"id": PAGE, "time": 0, "messaging": [item]}]}
    assert [event.occurred_at for event in normalise(orjson.dumps(body), NOW).events] == ["2026-11-24T09:00:00.000Z"]


@pytest.mark.parametrize("sender", ["me", {"id": []}, {"id": "a:b"}])
def test_without_a_customer_an_odd_side_is_the_reason(sender: object) -> None:
    batch = read(message={"mid": "m_1"}, sender=sender)
    assert (batch.events, [(x.reason, x.detail) for x in batch.dead_letters]) == ([], [(Reason.BAD_ID, "sender")])


@pytest.mark.parametrize("kind", ["message", "message_edit", "reaction", "postback", "referral"])
def test_a_kind_that_is_null_is_absent(kind: str) -> None:
    batch = read(**{kind: None})
    assert (batch.events, batch.dead_letters, batch.dropped) == ([], [], {"empty_item": 1})
    assert len(read(**{"message": {"mid": "m_1"}, "postback": None}).events) == 1


def test_an_empty_text_is_kept() -> None:
    assert parts(text="") == {"text": ""}


@pytest.mark.parametrize("value", [False, "true", 1])
def test_only_true_marks_a_message_as_unsupported(value: object) -> None:
    assert parts(is_unsupported=value) == {}


def test_a_quick_reply_without_a_payload_is_left_out() -> None:
    assert parts(quick_reply={"text": "Yes"}) == {}


@pytest.mark.parametrize("name", ["sticker_id", "app_id"])
def test_a_facebook_id_is_read_as_text_from_a_number_as_well(name: str) -> None:
    assert parts(**{name: 263902037430900}) == parts(**{name: "263902037430900"}) == {name: "263902037430900"}


def test_fields_outside_the_contract_are_left_out() -> None:
    assert parts(text="hi", seq=73, metadata="m", nlp={"entities": {}}, is_echo=False) == {"text": "hi"}


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ({}, []),
        ({"type": "audio"}, [{"type": "audio"}]),
        ({"payload": {"url": "u"}}, [{"type": "unknown", "url": "u"}]),
        (
            {"type": "fallback", "title": "t", "url": "u", "payload": None},
            [{"type": "fallback", "url": "u", "title": "t"}],
        ),
        (
            {"type": "fallback", "title": "of it", "url": "its", "payload": {"title": "inner", "url": "inner"}},
            [{"type": "fallback", "url": "inner", "title": "inner"}],
        ),
        (
            {"type": "ig_story", "payload": {"url": "u", "story_media_url": "s"}},
            [{"type": "ig_story", "url": "u", "payload": {"story_media_url": "s"}}],
        ),
        (
            {"type": "location", "id": 7, "payload": {"coordinates": {"lat": 52.5, "long": 13.4}, "note": None}},
            [{"type": "location", "payload": {"id": 7, "coordinates": {"lat": 52.5, "long": 13.4}}}],
        ),
    ],
)
def test_an_attachment_has_type_url_and_all_other_fields(sent: dict[str, Any], read_as: list[dict[str, Any]]) -> None:
    assert parts(attachments=[sent, None]) == ({"attachments": read_as} if read_as else {})


def test_attachments_keep_their_order() -> None:
    attachments = [{"type": "image"}, {"type": "video"}, {"type": "image"}]
    assert parts(attachments=attachments) == {"attachments": attachments}


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ({"mid": "m_0", "is_self_reply": True}, {"mid": "m_0"}),
        ({"story": {"id": 17, "url": None}}, {"story_id": "17"}),
        ({"mid": "m_0", "story": {"id": "17", "url": "u"}}, {"mid": "m_0", "story_id": "17", "story_url": "u"}),
    ],
)
def test_a_reply_names_its_message_or_story(sent: dict[str, Any], read_as: dict[str, str]) -> None:
    assert parts(reply_to=sent) == {"reply_to": read_as}


REFERRALS = [
    ({"ad_id": 6045, "ref": None}, {"ad_id": "6045"}),
    (
        {"ref": "r", "referer_uri": "https://x", "is_guest_user": None},
        {"ref": "r", "payload": {"referer_uri": "https://x"}},
    ),
    (
        {"ref": "r", "source": "ADS", "type": "OPEN_THREAD", "ad_id": "6"},
        {"ref": "r", "source": "ADS", "type": "OPEN_THREAD", "ad_id": "6"},
    ),
]


@pytest.mark.parametrize(("sent", "read_as"), REFERRALS)
def test_a_referral_is_read_alike_in_every_position(sent: dict[str, Any], read_as: dict[str, Any]) -> None:
    expected = {"referral": read_as}
    assert parts(referral=sent) == own(read(postback={"referral": sent})) == own(read(referral=sent)) == expected


def test_an_empty_referral_is_rejected() -> None:
    batch = read(referral={})
    assert (batch.events, [dead_letter.reason for dead_letter in batch.dead_letters]) == ([], [Reason.MALFORMED])


def test_a_deletion_has_no_content() -> None:
    batch = read(message={"mid": "m_1", "is_deleted": True, "text": "hi", "attachments": [{"type": "image"}]})
    assert own(batch) == MESSAGE
    assert [(draft.kind, draft.event_id) for draft in batch.events] == [("deletion", f"deletion:messenger:{PAGE}:1")]


def test_is_deleted_false_is_a_message() -> None:
    assert parts(text="hi", is_deleted=False) == {"text": "hi"}


def test_a_numeric_message_id_is_read_as_text() -> None:
    assert own(read(message={"mid": 17})) == {"message_id": f"messenger:{PAGE}:17", "mid": "17"}


@pytest.mark.parametrize("kind", ["message", "message_edit", "reaction"])
@pytest.mark.parametrize("mid", [None, "", True, [], "m" * 1025])
def test_an_event_without_a_message_id_is_rejected(kind: str, mid: object) -> None:
    batch = read(**{kind: {"mid": mid, "text": "hi", "action": "react"}})
    assert (batch.events, [dead_letter.reason for dead_letter in batch.dead_letters]) == ([], [Reason.NO_MESSAGE_ID])


def test_an_edit_has_its_number_and_the_new_text() -> None:
    assert own(read(message_edit={"mid": "m_1", "num_edit": 2, "text": "new"})) == {
        **MESSAGE, "num_edit": 2, "text": "new",
    }  # fmt: skip


def test_an_edit_without_a_number_gets_an_id_of_its_content() -> None:
    edit = {"mid": "m_1", "num_edit": None, "text": "new"}
    assert own(read(message_edit=edit)) == {**MESSAGE, "text": "new"}
    assert event_id(message_edit=edit) == event_id(message_edit=dict(edit))
    assert event_id(message_edit=edit) != event_id(message_edit={**edit, "text": "newer"})


@pytest.mark.parametrize(
    "said",
    [{"action": "react", "emoji": "❤"}, {"action": "react", "reaction": "love"}, {"action": "unreact", "emoji": "❤"}],
)
def test_a_reaction_has_its_given_fields(said: dict[str, str]) -> None:
    assert own(read(reaction={"mid": "m_1", **said})) == {**MESSAGE, **said}


@pytest.mark.parametrize("action", [None, "", "remove", 1])
def test_a_reaction_with_another_action_is_rejected(action: object) -> None:
    batch = read(reaction={"mid": "m_1", "action": action, "emoji": "❤"})
    assert (batch.events, [dead_letter.reason for dead_letter in batch.dead_letters]) == ([], [Reason.MALFORMED])


def test_reactions_that_differ_in_any_field_have_different_ids() -> None:
    told = [
        {"action": "react", "reaction": "love", "emoji": "❤"},
        {"action": "unreact", "reaction": "love", "emoji": "❤"},
        {"action": "react", "reaction": "smile", "emoji": "❤"},
        {"action": "react", "emoji": "❤"},
        {"action": "react"},
    ]
    assert len({event_id(reaction={"mid": "m_1", **each}) for each in told}) == len(told)


def test_a_postback_with_a_mid_gets_an_id_of_its_message() -> None:
    postback = {"mid": "m_1", "title": "Buy", "payload": "BUY", "referral": {"ref": "r"}}
    assert own(read(postback=postback)) == {**MESSAGE, "title": "Buy", "payload": "BUY", "referral": {"ref": "r"}}
    assert event_id(postback=postback) == event_id(postback={"mid": "m_1"})


def test_a_postback_without_a_mid_gets_an_id_of_its_content() -> None:
    assert own(read(postback={"title": "Buy"})) == {"title": "Buy"}
    assert event_id(postback={"title": "Buy"}) != event_id(postback={"title": "Sell"})


def test_events_from_standby_are_marked() -> None:
    assert own(read("standby", message={"mid": "m_1"})) == {**MESSAGE, "standby": True}
    assert own(read("standby", postback={"mid": "m_1"})) == {**MESSAGE, "standby": True}


@pytest.mark.parametrize(
    "kinds",
    [
        {"message": {"mid": "m_1"}},
        {"message_edit": {"mid": "m_1", "num_edit": 1}},
        {"reaction": {"mid": "m_1", "action": "react"}},
    ],
)
def test_an_item_sent_by_the_account_is_outbound_without_is_echo(kinds: dict[str, Any]) -> None:
    [draft] = read(sender={"id": PAGE}, recipient={"id": PSID}, **kinds).events
    assert (draft.value["direction"], draft.value["customer_id"]) == ("outbound", PSID)


def test_a_message_in_changes_is_read_like_any_other() -> None:
    """Its time is in seconds, as text (docs/facebook.md)."""
    item = {"sender": {"id": PSID}, "recipient": {"id": PAGE}, "timestamp": "1527459824"}
    change = {"field": "messages", "value": {**item, "message": {"mid": "m_1", "text": "hi"}}}
    entry = {"id": PAGE, "time": 1520383571, "changes": [change]}
    [draft] = normalise(orjson.dumps({"object": "instagram", "entry": [entry]}), NOW).events
    assert draft.value == {
        **COMMON,
        "kind": "message",
        "event_id": f"message:instagram:{PAGE}:m_1",
        "platform": "instagram",
        "occurred_at": "2018-05-27T22:23:44.000Z",
        "message_id": f"instagram:{PAGE}:m_1",
        "mid": "m_1",
        "text": "hi",
    }
