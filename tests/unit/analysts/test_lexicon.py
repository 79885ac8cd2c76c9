"""The language files, and how words are found."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from services.analyzer.fallback import POINTS
from services.analyzer.lexicon import load_lexicon, tokenise

LANGUAGES = {
    entry.name.removesuffix(".toml"): tomllib.loads(entry.read_text(encoding="utf-8"))
    for entry in files("services.analyzer").joinpath("languages").iterdir()
}
LEXICON = load_lexicon()
DECIDING = {"refuse", "complaint", "other", "later", "expensive", "thanks"}


def test_the_languages_that_customers_write_in_are_there() -> None:
    assert LANGUAGES.keys() >= {"en", "tl", "es", "pt", "fr", "ar", "id"}


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_language_has_every_signal_that_decides(code: str) -> None:
    signals = LANGUAGES[code]["signals"]
    assert signals.keys() >= {
        "price",
        "availability",
        "order",
        "commit",
        "paid",
        "refuse",
        "complaint",
        "other",
        "later",
    }
    assert signals.keys() <= POINTS.keys() | DECIDING
    assert all(phrases and all(map(tokenise, phrases)) for phrases in signals.values())


def test_no_phrase_signals_two_things_in_two_languages() -> None:
    seen: dict[tuple[str, ...], str] = {}
    for language in LANGUAGES.values():
        for signal, phrases in language["signals"].items():
            for phrase in phrases:
                assert seen.setdefault(tuple(tokenise(phrase)), signal) == signal, phrase


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
def test_phrases_are_found_whole_the_longest_first_and_negation_reaches_three_words(
    text: str, hits: list[tuple[str, bool]]
) -> None:
    assert [(hit.signal, hit.negated) for hit in LEXICON.hits(text)] == hits


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
        ("👍", None),
    ],
)
def test_the_language_is_told_by_its_small_words(text: str, language: str | None) -> None:
    assert LEXICON.language([text]) == language
