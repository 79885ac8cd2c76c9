"""Transcripts, names and details."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.analyzer.analysis.analyst import SpeakerRole
from services.analyzer.analysis.transcript import build_transcript, fingerprint
from services.analyzer.contact.contact_details import find_details
from services.analyzer.contact.names import best_name
from shared.contract.contacts import Name, NameSource
from shared.contract.events import (
    Attachment,
    DeletionEvent,
    Direction,
    MessageEvent,
    Participant,
    PostbackEvent,
    ReactionEvent,
    Source,
)
from shared.contract.ids import Platform, message_id
from shared.domain.messages import StoredMessage, fold_all

AT = datetime(2026, 11, 24, 9, 0, 0, 684000, tzinfo=UTC)


def about(mid: str, at: datetime = AT, source: Source = Source.WEBHOOK, outbound: bool = False) -> dict[str, Any]:
    return {
        "event_id": mid, "platform": Platform.MESSENGER, "account_id": "1", "customer_id": "8", "mid": mid,
        "message_id": message_id(Platform.MESSENGER, "1", mid), "occurred_at": at, "received_at": AT, "source": source,
        "direction": Direction.OUTBOUND if outbound else Direction.INBOUND,
    }  # fmt: skip


def messages(*events: Any) -> list[StoredMessage]:
    return list(fold_all(events).values())


def test_lines_are_oldest_first_with_their_roles() -> None:
    said = messages(
        MessageEvent(text="second", **about("m_1", AT + timedelta(seconds=1), outbound=True)),
        MessageEvent(text="first", **about("m_2")),
    )
    transcript = build_transcript(Platform.MESSENGER, said)
    assert transcript is not None
    assert [(line.role, line.text) for line in transcript.lines] == [
        (SpeakerRole.CUSTOMER, "first"),
        (SpeakerRole.BUSINESS, "second"),
    ]


def test_attachments_are_marks_and_a_pressed_button_is_one_mark() -> None:
    said = messages(
        MessageEvent(attachments=(Attachment(type="image"), Attachment(type="sticker")), **about("m_1")),
        PostbackEvent(title="Get Started", **about("m_2")),
        MessageEvent(text="Get Started", **about("m_2", source=Source.BACKFILL)),
        MessageEvent(text="ok", **about("m_3")),
        ReactionEvent(action="react", emoji="❤", **about("m_3", outbound=True)),
    )
    transcript = build_transcript(Platform.MESSENGER, said)
    assert transcript is not None
    assert [(line.text, line.marks) for line in transcript.lines] == [
        ("", ("[sticker]",)), ("", ("[pressed: Get Started]",)), ("ok", ("[business reacted ❤]",)),
    ]  # fmt: skip


def test_deleted_messages_are_left_out_and_an_empty_transcript_is_none() -> None:
    said = messages(MessageEvent(text="oops", **about("m_1")), DeletionEvent(**about("m_1")))
    assert build_transcript(Platform.MESSENGER, said) is None


def test_webhook_and_graph_give_the_same_fingerprint() -> None:
    live = build_transcript(Platform.MESSENGER, messages(MessageEvent(text="hi", **about("m_1"))))
    whole = AT.replace(microsecond=0)
    history = build_transcript(
        Platform.MESSENGER, messages(MessageEvent(text="hi", **about("m_1", whole, Source.BACKFILL)))
    )
    assert live is not None
    assert history is not None
    assert fingerprint(live) == fingerprint(history)


@pytest.mark.parametrize(
    ("text", "emails", "phones"),
    [
        ("Maria.Santos@Example.com po", ("maria.santos@example.com",), ()),
        ("text me 0917 555 0142", (), ("+639175550142",)),
        ("+1 (202) 555-0143 or 09175550142", (), ("+12025550143", "+639175550142")),
        ("order 12345678, price 32,500", (), ()),
        ("mail me @home or a@b", (), ()),
    ],
)
def test_details_are_parsed(text: str, emails: tuple[str, ...], phones: tuple[str, ...]) -> None:
    found = find_details([text, text])
    assert (found.emails, found.phones) == (emails, phones)


def test_a_name_comes_from_the_newest_message_then_participants_then_a_placeholder() -> None:
    old = MessageEvent(text="a", sender_name="Old Name", **about("m_1", source=Source.BACKFILL))
    new = MessageEvent(text="b", sender_name="Maria  Dela Cruz", **about("m_2", AT + timedelta(1), Source.BACKFILL))
    people = [Participant(id="8", name="From Listing"), Participant(id="1", name="The Shop")]
    best = best_name(Platform.MESSENGER, "8", messages(old, new), people, None)
    assert (best.first, best.last, best.source) == ("Maria", "Dela Cruz", NameSource.MESSAGE)
    assert best_name(Platform.MESSENGER, "8", [], people, None).full == "From Listing"
    assert best_name(Platform.MESSENGER, "81234567", [], [], None).full == "User 234567"
    assert best_name(Platform.INSTAGRAM, "81234567", [], [], None).full == "IG User 234567"


def test_a_weaker_source_never_replaces_a_name() -> None:
    known = Name(first="Ana", last="Cruz", source=NameSource.PERSON)
    listed = [Participant(id="8", name="Somebody Else", username="ana.c")]
    assert best_name(Platform.MESSENGER, "8", [], listed, known) == known.model_copy(update={"username": "ana.c"})
    assert best_name(Platform.MESSENGER, "8", [], [], known) == known


def test_an_instagram_username_is_used_as_name() -> None:
    best = best_name(Platform.INSTAGRAM, "8", [], [Participant(id="8", username="maria.s")], None)
    assert (best.full, best.username, best.source) == ("maria.s", "maria.s", NameSource.USERNAME)


def test_a_name_of_one_word_has_no_last_name() -> None:
    assert Name.split("Cher", NameSource.PROFILE).last == ""
