"""The marks in a transcript for what is not text."""

from __future__ import annotations

from typing import Any

import pytest

from services.analyzer.analysis.transcript import build_transcript
from shared.contract.events import Attachment, Event, PostbackEvent, ReplyTo
from shared.contract.ids import Platform
from shared.domain.messages import fold_all
from tests.support.making import MARIA, reacted, said


def marks(*events: Event) -> tuple[str, ...]:
    transcript = build_transcript(Platform.MESSENGER, fold_all(events).values())
    assert transcript
    (line,) = transcript.lines
    return line.marks


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"attachments": (Attachment(type="image"), Attachment(type="image"))}, ("[image]",)),
        ({"attachments": (Attachment(type="audio"), Attachment(type="file"))}, ("[voice]", "[file]")),
        ({"attachments": (Attachment(type="image"),), "sticker_id": "369"}, ("[sticker]",)),
        ({"is_unsupported": True}, ("[unsupported]",)),
        ({"reply_to": ReplyTo(story_id="17")}, ("[reply to a story]",)),
        ({"reply_to": ReplyTo(mid="m_0")}, ()),
    ],
)
def test_what_is_not_text_is_a_mark(message: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert marks(said("see this", 1, **message)) == expected


def test_a_reaction_is_a_mark_of_its_message() -> None:
    assert marks(said("see this", 1, mid="m_1"), reacted("m_1", 2)) == ("[customer reacted ❤]",)


@pytest.mark.parametrize(
    ("button", "mark"),
    [
        ({"title": "Buy", "payload": "BUY"}, "[pressed: Buy]"),
        ({"payload": "BUY"}, "[pressed: BUY]"),
        ({}, "[pressed: a button]"),
    ],
)
def test_a_pressed_button_is_named_by_title_text_or_payload(button: dict[str, str], mark: str) -> None:
    fields = said(None, 1).model_dump(include=set(PostbackEvent.model_fields) - {"kind", "event_id"})
    assert marks(PostbackEvent(event_id=f"postback:{MARIA}", **(fields | button))) == (mark,)


def test_a_line_has_the_id_of_its_message() -> None:
    messages = fold_all([said("see this", 1), said("and this", 2)])
    transcript = build_transcript(Platform.MESSENGER, messages.values())
    assert transcript
    assert [line.message_id for line in transcript.lines] == list(messages)
