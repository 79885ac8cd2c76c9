"""The signals of a customer's line, by clause."""

from __future__ import annotations

from collections.abc import Set
from datetime import UTC, datetime

import pytest

from services.analyzer.analysis.analyst import SpeakerRole, TranscriptLine
from services.analyzer.analysis.fallback.lexicon import load_lexicon
from services.analyzer.analysis.fallback.signals import find_signals


def signals_of(text: str, said: str = "It is 500.", opening: str = "I saw your post today") -> Set[str]:
    """Return the signals of a customer's line after one of the business, which follows the customer's opening."""
    roles = (SpeakerRole.CUSTOMER, SpeakerRole.BUSINESS, SpeakerRole.CUSTOMER)
    lines = tuple(
        TranscriptLine(datetime(2026, 1, 5, 9, minute, tzinfo=UTC), role, line)
        for minute, (role, line) in enumerate(zip(roles, (opening, said, text), strict=True))
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


@pytest.mark.parametrize(
    ("opening", "text", "signal"),
    [
        ("ciao, quanto costa?", "ho appena pagato", "paid"),
        ("ciao, quanto costa?", "nessun problema lo prendo", "commit"),
        ("hola, ¿cuánto cuesta?", "acabo de hacer la transferencia", "paid"),
        ("hola, ¿cuánto cuesta?", "no hay problema ya pagué", "paid"),
        ("olá, quanto custa?", "não tem problema já paguei", "paid"),
        ("hi, how much is it?", "no problem I'll take it", "commit"),
        ("hi, how much is it?", "no worries just paid", "paid"),
        ("bonjour, combien ça coûte ?", "pas de problème j'ai payé", "paid"),
        ("hallo, was kostet das?", "ohne Problem bezahlt", "paid"),
        ("hallo, wat kost dit?", "geen probleem ik neem het", "commit"),
        ("halo, harganya berapa kak?", "gak masalah saya ambil", "commit"),
        ("сколько это стоит?", "без проблем беру", "commit"),
    ],
)
def test_a_harmless_word_of_negation_or_delay_leaves_what_stands_beside_it(
    opening: str, text: str, signal: str
) -> None:
    found = signals_of(text, opening=opening)
    assert signal in found
    assert found.isdisjoint(("soon", "later", "refuse"))
