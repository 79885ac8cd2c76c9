"""Splitting a text into words."""

from __future__ import annotations

import pytest

from services.analyzer.analysis.fallback.tokenizer import BREAK, split


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हाँ। कितने", ["हाँ", BREAK, "कितने"]),
        ("हाँ॥ कितने", ["हाँ", BREAK, "कितने"]),
        ("कितने५००रुपये", ["कितने", "500", "रुपये"]),
        ("500बाकी", ["500", "बाकी"]),
        ("size५kg", ["size5kg"]),
        ("500元", ["500", "元"]),
        ("要３個", ["要", "3", "個"]),
        ("๕๐๐บาท", ["500", "บ", "า", "ท"]),
        ("500บาท", ["500", "บ", "า", "ท"]),
        ("iPhone手机", ["iphone", "手", "机"]),
        ("٥٠٠ ريال", ["500", "ريال"]),
        ("20kg at 10:30am", ["20kg", "at", "10:30am"]),
    ],
)
def test_words_end_where_a_script_or_a_sentence_does(text: str, words: list[str]) -> None:
    assert split(text).words == words


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("I take it. Where is it?", ["where", "is", "it"]),
        ("I take it, where is it??", ["where", "is", "it"]),
        ("where is it? I take it", ["where", "is", "it"]),
        ("أين؟ نعم", ["اين"]),
        ("I take it.", []),
    ],
)
def test_the_words_of_a_question_are_those_of_its_clause(text: str, asked: list[str]) -> None:
    words = split(text)
    assert [words.words[index] for index in sorted(words.asked)] == asked
