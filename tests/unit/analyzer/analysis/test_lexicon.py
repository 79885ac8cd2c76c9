"""The language files, and the search for phrases."""

from __future__ import annotations

import pytest

from services.analyzer.analysis.fallback.lexicon import (
    load_lexicon,
    main_language,
    phrase_words,
    phrases_of,
    read_languages,
)
from services.analyzer.analysis.fallback.tokenizer import MAX_CHARS, split

LANGUAGES = read_languages()
LEXICON = load_lexicon()
ASKED = {"proof", "address", "order", "book", "confirmed", "viewing", "apology", "parting"}
SPOKEN = sorted(LANGUAGES.keys() - {"signs"})


def test_the_lexicon_has_the_languages_of_customers() -> None:
    assert LANGUAGES.keys() >= {
        "en",
        "tl",
        "es",
        "pt",
        "fr",
        "ar",
        "id",
        "de",
        "hi",
        "vi",
        "th",
        "zh",
        "it",
        "ru",
        "tr",
    }


@pytest.mark.parametrize("code", SPOKEN)
def test_a_language_has_every_deciding_signal(code: str) -> None:
    signals = LANGUAGES[code]["signals"]
    wanted = {
        "yes",
        "price",
        "availability",
        "need",
        "order",
        "commit",
        "paid",
        "refuse",
        "complaint",
        "other",
        "later",
    }
    assert signals.keys() >= wanted
    assert LANGUAGES[code]["business"].keys() <= ASKED
    assert LANGUAGES[code]["words"].split(), "needed to find whether the language is spoken"


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("table", ["signals", "business"])
def test_every_phrase_has_words_and_begins_with_one(code: str, table: str) -> None:
    for block in LANGUAGES[code].get(table, {}).values():
        for phrase in phrases_of(block):
            assert phrase_words(phrase, LEXICON.fillers)[0].strip("~"), phrase


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_phrase_has_one_signal_per_language(code: str) -> None:
    seen: dict[tuple[str, ...], str] = {}
    for signal, block in LANGUAGES[code]["signals"].items():
        for phrase in phrases_of(block):
            assert seen.setdefault(tuple(phrase_words(phrase, LEXICON.fillers)), signal) == signal, phrase


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("the border, the recorder and the disorder", []),
        ("HOW MUCH?", [("price", False)]),
        ("¿Cuánto cuesta?", [("price", False)]),
        ("I don’t really need it", [("need", True)]),
        ("no. need it", [("need", False)]),
        ("don't need it", [("refuse", False)]),
        ("not at all what we want", [("need", False)]),
    ],
)
def test_the_longest_phrase_matches_and_negation_reaches_three_words(text: str, hits: list[tuple[str, bool]]) -> None:
    found = LEXICON.hits(LEXICON.split(text), LEXICON.bits["en"] | LEXICON.bits["es"])
    assert [(hit.signal, hit.negated) for hit in found] == hits


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("we booked a place elsewhere", True),
        ("we booked it. Cheaper elsewhere", False),
        ("hindi na po", True),
        ("hindi na po, salamat", True),
        ("hindi na po kami makatulog", False),
    ],
)
def test_a_gap_ends_at_a_sentence_and_a_full_stop_requires_a_clause_end(text: str, refuses: bool) -> None:
    assert any(hit.signal == "refuse" for hit in LEXICON.hits(LEXICON.split(text))) == refuses


def test_phrases_of_unspoken_languages_do_not_match() -> None:
    text = "I found mine in the attic, it is not for sale"
    spoken = LEXICON.spoken_languages(LEXICON.count_language_words(split(text).words))
    assert "mine" not in [hit.phrase for hit in LEXICON.hits(LEXICON.split(text), spoken)]
    assert "mine" in [hit.phrase for hit in LEXICON.hits(LEXICON.split("mine po"), LEXICON.bits["tl"])]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Don’t", "dont"),
        ("CAFÉ", "cafe"),
        ("yesss", "yes"),
        ("paano po mag order", "paano mag order"),
        ("الأسعار", "الاسعار"),
        ("متوفرة", "متوفره"),
        ("đặt cọc", "dat coc"),
        ("👍🏽", "👍"),
    ],
)
def test_words_are_normalised(one: str, other: str) -> None:
    assert LEXICON.split(one) == LEXICON.split(other)


def test_a_text_is_read_up_to_a_limit() -> None:
    assert len(split("a " * MAX_CHARS).words) == MAX_CHARS // 2


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("how much is it and do you have the red one", "en"),
        ("magkano po ba yung sa inyo", "tl"),
        ("hi po, do you have stock pa po ba ng item for this week", "taglish"),
        ("el precio de la mesa, por favor", "es"),
        ("eu queria uma para o meu irmão, você tem?", "pt"),
        ("est-ce que vous avez des places pour le matin", "fr"),
        ("yang ini masih ada kak, bisa kirim ke bandung", "id"),
        ("هل هذا متوفر في المحل", "ar"),
        ("haben Sie noch einen Termin für uns", "de"),
        ("shop ơi cái này bao nhiêu", "vi"),
        ("ราคาเท่าไหร่คะ", "th"),
        ("सर यह कितने का है", "hi"),
        ("👍", None),
    ],
)
def test_the_language_follows_from_its_typical_words(text: str, language: str | None) -> None:
    assert main_language(LEXICON.count_language_words(split(text).words)) == language
