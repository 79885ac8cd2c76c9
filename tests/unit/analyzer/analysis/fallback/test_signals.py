"""What a customer's line signals, by clause."""

from __future__ import annotations

from collections.abc import Set
from datetime import UTC, datetime

import pytest

from services.analyzer.analysis.analyst import SpeakerRole, TranscriptLine
from services.analyzer.analysis.fallback.lexicon import load_lexicon
from services.analyzer.analysis.fallback.signals import find_signals


def signals_of(text: str, said: str = "It is 500.") -> Set[str]:
    """Return the signals of a customer's line after one of the business, which follows an enquiry."""
    roles = (SpeakerRole.CUSTOMER, SpeakerRole.BUSINESS, SpeakerRole.CUSTOMER)
    lines = tuple(
        TranscriptLine(datetime(2026, 1, 5, 9, minute, tzinfo=UTC), role, line)
        for minute, (role, line) in enumerate(zip(roles, ("I saw your post today", said, text), strict=True))
    )
    last = find_signals(lines, load_lexicon()).last
    return {signal for signal, index in last.items() if index == 2}


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ("I'll take it. Where do I pay?", "commit"),
        ("Where do I pay? I'll take it.", "commit"),
        ("I'll take it, where do I pay?", "commit"),
        ("lo prendo. Dove siete?", "commit"),
        ("I want to order two. When are you open?", "ordered"),
        ("14 Beech Grove, 0917 555 0134. When will it arrive?", "given"),
        ("sounds good. When are you open?", "accept"),
    ],
)
def test_a_question_beside_a_statement_does_not_change_it(text: str, signal: str) -> None:
    assert signals_of(text) >= {signal, "asks"}


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ("shall I say I'll take it?", "commit"),
        ("can I order two?", "ordered"),
        ("is it near 14 Beech Grove?", "given"),
    ],
)
def test_a_clause_that_asks_states_nothing(text: str, signal: str) -> None:
    assert signal not in signals_of(text)


def test_a_question_beside_an_address_still_answers_for_it() -> None:
    assert "answered" in signals_of("Ann, Park Row in Leeds. Is that ok?", said="Your name and address please")
