"""The signals of a customer's line, by clause."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.analyzer.analysis.analyst import SpeakerRole, TranscriptLine
from services.analyzer.analysis.fallback.lexicon import load_lexicon
from services.analyzer.analysis.fallback.signals import find_signals


def signals_of(
    text: str, said: str = "It is 500.", opening: str = "I saw your post today", marks: tuple[str, ...] = ()
) -> Set[str]:
    """Return the signals of a customer's line after one of the business, which follows the customer's opening."""
    roles = (SpeakerRole.CUSTOMER, SpeakerRole.BUSINESS, SpeakerRole.CUSTOMER)
    lines = tuple(
        TranscriptLine(datetime(2026, 1, 5, 9, minute, tzinfo=UTC), role, line)
        for minute, (role, line) in enumerate(zip(roles, (opening, said, text), strict=True))
    )
    lines = (*lines[:-1], replace(lines[-1], marks=marks))
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


@pytest.mark.parametrize(("text", "needs"), [("No. I need a sofa", True), ("I do not need a sofa", False)])
def test_a_negation_reaches_to_the_end_of_its_clause(text: str, needs: bool) -> None:
    assert ("need" in signals_of(text)) is needs


@pytest.mark.parametrize(
    ("text", "said", "signal", "found"),
    [
        ("Ann Bee, 14 Park Row", "yes. name and address please?", "answered", True),
        ("Friday at 5", "viewing Friday at 5?", "given", False),
        ("yes please", "yes, 90, shall I book you in?", "agreed", True),
    ],
)
def test_a_reply_is_read_by_what_was_asked(text: str, said: str, signal: str, found: bool) -> None:
    assert (signal in signals_of(text, said, "can you come today? the sink leaks")) is found


@pytest.mark.parametrize(
    ("asked", "pays"), [("80, please send me the receipt", True), ("80, which one do you mean?", False)]
)
def test_a_picture_is_a_payment_only_if_one_was_asked_for(asked: str, pays: bool) -> None:
    assert ("paid" in signals_of("", asked, "how much is the red one", ("[image]",))) is pays
