"""Which passages of a conversation are encoded, and that a new message costs few of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.analyzer.analysis.analyst import SpeakerRole, TranscriptLine
from services.analyzer.analysis.local.passages import MAX_ANSWERS, find_passages

START = datetime(2026, 1, 1, tzinfo=UTC)


def said(*texts: str) -> tuple[TranscriptLine, ...]:
    """`c:` is the customer's, `b:` the business's; what follows a `+` is a mark."""
    roles = {"c": SpeakerRole.CUSTOMER, "b": SpeakerRole.BUSINESS}
    lines = []
    for number, each in enumerate(texts):
        text, _, mark = each[2:].partition("+")
        at = START + timedelta(minutes=number)
        lines.append(TranscriptLine(at, roles[each[0]], text, (f"[{mark}]",) if mark else ()))
    return tuple(lines)


def test_an_answer_follows_what_it_answers() -> None:
    answers = find_passages(said("c:hm", "b:500", "b:want it?", "c:ok", "c:+image")).answers
    assert [each.text for each in answers] == [
        "buyer: hm",
        "seller: 500 / want it? buyer: ok",
        "seller: 500 / want it? buyer: [image]",
    ]
    assert [each.lines for each in answers] == [(0,), (3,), (4,)]


def test_the_last_lines_have_both_sides() -> None:
    passages = find_passages(said("c:1", "b:2", "c:3", "b:4", "c:5"))
    assert passages.few.text == "seller: 2 buyer: 3 seller: 4 buyer: 5"
    assert passages.few.lines == (2, 4)
    assert passages.more.text == "buyer: 1 seller: 2 buyer: 3 seller: 4 buyer: 5"
    assert passages.customer.text == "1 / 3 / 5"


def test_a_new_message_needs_four_new_texts_at_most() -> None:
    lines = said(*(f"{'cb'[number % 2]}:line {number}" for number in range(60)))
    for length in range(1, len(lines)):
        known = {each.text for each in find_passages(lines[:length]).each}
        assert len({each.text for each in find_passages(lines[: length + 1]).each} - known) <= 4


def test_a_long_conversation_costs_no_more_than_its_end() -> None:
    passages = find_passages(said(*["c:hello there"] * 5_000))
    assert len(passages.answers) == MAX_ANSWERS
    assert len(passages.customer.text) <= 1_500


def test_a_conversation_without_a_customer_has_no_answers() -> None:
    passages = find_passages(said("b:hello"))
    assert passages.answers == ()
    assert passages.customer.text == ""
