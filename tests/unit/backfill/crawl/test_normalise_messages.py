"""Every recorded message and conversation of the Graph API, as events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.backfill.crawl.normalise_messages import RunConversation
from services.backfill.crawl.parse_listing import Listed, read_listed
from services.backfill.crawl.values import instant_of, read_time
from shared.contract.encoded_events import EncodedEvent, dump_encoded_event, encoded_event_headers
from shared.contract.events import (
    Attachment,
    ConversationCompletedEvent,
    ConversationListedEvent,
    Direction,
    Event,
    MessageEvent,
    Participant,
    ReplyTo,
    format_instant,
    load_event,
)
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from tests.support.models import event_headers

PAYLOADS = Path(__file__).parents[2] / "payloads" / "graph"
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
CUSTOMER = "2711636948859886"
PAGE = Account(platform=Platform.MESSENGER, account_id="371", page_id="371", name="The Page", encrypted_token="x")
GRAM = Account(platform=Platform.INSTAGRAM, account_id="1784", page_id="371", name="the.shop", encrypted_token="x")


def load(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_text())


def conversation(customer: str = CUSTOMER, account: Account = PAGE) -> RunConversation:
    return RunConversation(account, Listed("t_1", Participant(id=customer), (), NOW, 2), "run")


def message(item: dict[str, Any], customer: str = CUSTOMER, account: Account = PAGE) -> MessageEvent:
    encoded = conversation(customer, account).message_event(item, NOW)
    assert encoded is not None
    event = as_read(encoded)
    assert isinstance(event, MessageEvent)
    return event


def as_read(encoded: EncodedEvent) -> Event:
    """Return what a reader of the topic gets, which must say what the model would say, and no more."""
    event = load_event(dump_encoded_event(encoded))
    assert event.model_dump(mode="json", exclude_unset=True) == encoded.value
    assert set(encoded_event_headers(encoded)) == set(event_headers(event))
    sent = (encoded.kind, encoded.event_id, encoded.conversation)
    assert sent == (event.kind, event.event_id, str(event.conversation))
    return event


def shown(item: dict[str, Any]) -> MessageEvent:
    """A recorded item that was not asked for its sender and time, with both."""
    return message({"from": {"id": CUSTOMER}, "created_time": "2021-07-23T09:50:48+0000"} | item)


def test_a_customers_message_is_inbound_with_its_name_and_time() -> None:
    event = message(load("pyfb_models_message"))
    assert (event.direction, event.text, event.sender_name) == (Direction.INBOUND, "Love is peace!😏", "Kun Liu")
    assert event.occurred_at == datetime(2021, 7, 23, 9, 50, 48, tzinfo=UTC)
    assert event.mid == "m_ToF35NI1OImBjyUIgplSaBMylUFmkYY4bHogy9C1otLISU6SGhccB5NK-THX_W4EdVQiKVv5SgCW9m-_C78mRA"
    assert event.message_id == f"messenger:371:{event.mid.removeprefix('m_')}"
    assert event.event_id == f"message:{event.message_id}"
    assert event.attachments[0].type == "image"
    assert str(event.attachments[0].url).startswith("https://scontent-gmp1-1.xx.fbcdn.net/")


def test_a_message_of_anybody_else_is_outbound() -> None:
    event = message(load("restfb_v2_5_message"), customer="6217463217")
    assert (event.direction, event.text) == (Direction.OUTBOUND, "Test")
    assert message(load("pyfb_messages_message_info")).direction is Direction.INBOUND


def test_attachments_have_the_types_that_webhooks_give_them() -> None:
    found = [shown(item).attachments[0] for item in load("restfb_v2_5_messages-with-attachments")]
    assert [(each.type, each.title) for each in found] == [
        ("image", "12345678900.gif"),
        ("image", "47282572382.jpg"),
        ("file", "example.txt"),
        ("file", "binary.jar"),
        ("video", "video-1459980657.mp4"),
    ]
    assert found[4].url == "https://video.xx.fbcdn.net/hvideo-xpf1/examplevideo.mp4"


def test_an_attachment_that_is_not_shown_is_not_a_file() -> None:
    (attachment,) = shown(load("restfb_v7_0_message-eu")).attachments
    assert (attachment.type, attachment.url) == ("unavailable", None)


def test_templates_shares_stickers_and_stories_are_attachments() -> None:
    (template,) = shown(load("restfb_v10_0_message-with-generic-template")).attachments
    assert (template.type, template.title) == ("template", "Featured product")
    assert template.payload["cta"]["url"] == "https://example.org/item"
    shared = shown(load("restfb_v2_5_message-with-share") | {"from": {"id": CUSTOMER}})
    assert shared.attachments == (Attachment(type="share", url="https://example.org/sample.png"),)
    assert shared.text is None
    mention = shown(load("chatwoot_ig_story_mention_node"))
    assert [each.type for each in mention.attachments] == ["story_mention"]
    sticker = shown({"id": "m_1", "sticker": "https://example.org/like.png"})
    assert sticker.attachments == (Attachment(type="sticker", url="https://example.org/like.png"),)


def test_replies_to_messages_and_to_stories() -> None:
    replied = message(load("doc_ig_message_reply_to"), "IGSID", GRAM)
    assert replied.reply_to == ReplyTo(mid="zEspJ9wmRG9")
    assert (replied.sender_username, replied.direction) == ("CUSTOMER", Direction.INBOUND)
    story = message(load("restfb_v10_0_instagram-message-story"), "123456789", GRAM)
    assert story.reply_to is not None
    assert story.reply_to.story_id == "18074819347285670"
    assert story.attachments == ()


def test_a_message_shown_only_by_id_is_unavailable() -> None:
    for item in load("doc_conversation_messages_ids")["messages"]["data"]:
        assert conversation().message_event(item, NOW) is None
    for item in load("doc_page_conversations_participants_messages")["data"][0]["messages"]["data"]:
        assert conversation().message_event(item, NOW) is None


ITEM = {"id": "m_1", "from": {"id": CUSTOMER}, "created_time": "2021-07-23T09:50:48+0000"}


@pytest.mark.parametrize(
    "odd",
    [
        {"id": None}, {"id": ""}, {"id": ["m"]}, {"from": None}, {"from": "x"}, {"from": {}}, {"from": {"id": None}},
        {"created_time": None}, {"created_time": "yesterday"}, {"created_time": 1627033848},
        {"created_time": "2021-07-23T09:50:48"}, {"created_time": "0001-01-01T00:00:00+2300"},
    ],
)  # fmt: skip
def test_an_item_without_id_sender_or_time_is_unavailable(odd: dict[str, Any]) -> None:
    assert conversation().message_event(ITEM | odd, NOW) is None


FIELDS = st.sampled_from(
    "id data name username message attachments image_data video_data generic_template url mime_type shares link "
    "sticker story mention reply_to mid participants user_id updated_time message_count".split()
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just("id"),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text() | FIELDS, children, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(FIELDS, ANYTHING))
def test_no_shape_of_a_message_is_an_exception(odd: dict[str, Any]) -> None:
    event = conversation().message_event(ITEM | odd, NOW)
    assert event is None or as_read(event).occurred_at.tzinfo


@given(st.dictionaries(FIELDS, ANYTHING), st.sampled_from([PAGE, GRAM]))
def test_no_shape_of_a_conversation_is_an_exception(odd: dict[str, Any], account: Account) -> None:
    assert isinstance(read_listed(odd, account), Listed | str)


def test_a_conversation_with_two_participants_has_one_customer() -> None:
    body = load("restfb_conversation")
    page = PAGE.model_copy(update={"account_id": "120042743874449"})
    listed = read_listed(body, page)
    assert isinstance(listed, Listed)
    assert listed.customer == Participant(id="261743132120084", name="Participant One")
    assert (listed.thread_id, listed.message_count) == ("t_id.378684585488220", 2)
    assert listed.updated_time == datetime(2012, 4, 10, 17, 41, 10, tzinfo=UTC)
    event = as_read(RunConversation(page, listed, "run").listed_event(NOW))
    assert isinstance(event, ConversationListedEvent)
    assert event.event_id == (
        "conversation_listed:messenger:120042743874449:261743132120084:t_id.378684585488220:2012-04-10T17:41:10.000Z:2"
    )
    assert [each.id for each in event.participants] == ["261743132120084", "120042743874449"]


def test_a_conversation_is_completed_once_for_each_state_that_a_run_has_read_up_to() -> None:
    event = as_read(conversation().completed_event(2, 1, NOW))
    assert isinstance(event, ConversationCompletedEvent)
    assert event.event_id == f"conversation_completed:messenger:371:{CUSTOMER}:run:2026-11-24T09:00:00.000Z"
    assert (event.messages_read, event.messages_unavailable, event.updated_time) == (2, 1, NOW)


def test_fields_that_the_platform_leaves_out_are_left_out() -> None:
    bare = RunConversation(PAGE, Listed("t_1", Participant(id=CUSTOMER), (), None, None), "run")
    for encoded in (bare.listed_event(NOW), bare.completed_event(0, 0, NOW)):
        event = as_read(encoded)
        assert event.occurred_at == NOW
        assert not {"updated_time", "message_count"} & encoded.value.keys()


def participants(*people: dict[str, Any]) -> dict[str, Any]:
    return {"id": "t_1", "participants": {"data": list(people)}}


@pytest.mark.parametrize(
    "own",
    [
        {"id": "1784", "username": "x"},
        {"id": "371", "username": "x"},
        {"id": "555", "username": "x", "user_id": "1784"},
        {"id": "555", "username": "the.shop"},
    ],
)
def test_on_instagram_our_own_side_is_known_by_either_id_or_by_its_name(own: dict[str, Any]) -> None:
    listed = read_listed(participants({"id": "9", "username": "maria"}, own), GRAM)
    assert isinstance(listed, Listed)
    assert listed.customer == Participant(id="9", username="maria")
    assert len(listed.participants) == 2


def test_a_customer_who_is_called_like_the_page_is_a_customer() -> None:
    listed = read_listed(participants({"id": "9", "name": "The Page"}, {"id": "371", "name": "The Page"}), PAGE)
    assert isinstance(listed, Listed)
    assert listed.customer.id == "9"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": ""},
        {"id": "t_1"},
        {"id": "t_1", "participants": {"data": []}},
        participants({"id": "371"}),
        participants({"name": "no id"}, {"id": "371"}),
        participants({"id": "1"}, {"id": "2"}, {"id": "371"}),
        participants({"id": "a:b"}, {"id": "371"}),
        *load("fbsamples_ig_conversations_list")["data"],
        *load("doc_conversation_by_user_id")["data"],
        *load("derived_last_page_without_next")["data"],
        *load("pyfb_conversations_cvses_info").values(),
    ],
)
def test_without_exactly_one_customer_there_is_a_reason(body: dict[str, Any]) -> None:
    reason = read_listed(body, PAGE)
    assert isinstance(reason, str)
    assert reason


def test_placeholders_of_the_documentation_are_read() -> None:
    listed = read_listed(load("restfb_v10_0_instagram-conversation"), GRAM.model_copy(update={"account_id": "<IGID>"}))
    assert isinstance(listed, Listed)
    assert listed.customer.id == "<IGSID>"


def test_a_time_is_read_in_utc() -> None:
    assert read_time("2021-07-23T09:50:48+0200") == datetime(2021, 7, 23, 7, 50, 48, tzinfo=UTC)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)).map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S}+0000"))
def test_times_in_graphs_format_are_formatted_like_others(told_at: str) -> None:
    at = read_time(told_at)
    assert at
    assert instant_of(told_at, at) == format_instant(at)


@pytest.mark.parametrize(
    "told_at",
    [
        "2021-07-23T09:50:48+0800", "2021-07-23T09:50:48+00:00", "2021-07-23T09:50:48.5+0000",
        "2021-W30-5T09:50:48+0000", "2021-07-23 09:50:48+0000",
        "2021-07-23T09:50:48Z", "2021-07-23T09:50:48-0000",
    ],
)  # fmt: skip
def test_times_in_other_formats_are_formatted_alike(told_at: str) -> None:
    at = read_time(told_at)
    assert at
    assert instant_of(told_at, at) == format_instant(at)


@given(st.from_regex(r"\A[0-9]{2}[0-9W:-]{8}[T ][0-9:.]{8}[+]0000\Z"))
@example("2021-W30-5T09:50:48+0000")
def test_every_time_in_graphs_format_is_formatted_like_any_other(told_at: str) -> None:
    at = read_time(told_at)
    assert at is None or instant_of(told_at, at) == format_instant(at)
