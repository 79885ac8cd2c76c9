"""Each text is encoded once, and the packaged encoder knows languages by meaning."""

from __future__ import annotations

import numpy as np

from services.analyzer.analysis.local.encoder import DIMENSIONS, MAX_CHARS, SentenceEncoder, Vectors, packaged_encoder


class CountingEncode:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: list[str]) -> Vectors:
        self.texts += texts
        return np.array([np.full(DIMENSIONS, len(text)) for text in texts], np.float32)


def test_a_text_is_encoded_once() -> None:
    encode = CountingEncode()
    encoder = SentenceEncoder(encode)
    first = encoder.vectors(["how much", "ok", "how much"])
    again = encoder.vectors(["ok", "deal", "how much"])
    assert encode.texts == ["how much", "ok", "deal"]
    assert first[:, 0].tolist() == [8, 2, 8]
    assert again[:, 0].tolist() == [2, 4, 8]


def test_the_texts_used_last_are_kept() -> None:
    encode = CountingEncode()
    encoder = SentenceEncoder(encode, max_kept=2)
    for texts in (["a", "b"], ["a"], ["c"], ["a"], ["b"]):
        encoder.vectors(texts)
    assert encode.texts == ["a", "b", "c", "b"]


def test_more_texts_than_are_kept_get_their_vectors() -> None:
    assert SentenceEncoder(CountingEncode(), max_kept=1).vectors(["a", "bb", "ccc"])[:, 0].tolist() == [1, 2, 3]


def test_an_empty_text_has_no_direction() -> None:
    encode = CountingEncode()
    assert not SentenceEncoder(encode).vectors([""]).any()
    assert SentenceEncoder(encode).vectors([]).shape == (0, DIMENSIONS)
    assert encode.texts == []


def test_of_a_long_text_the_end_is_encoded() -> None:
    encode = CountingEncode()
    SentenceEncoder(encode).vectors(["x" * 10_000 + "deal"])
    assert encode.texts == ["x" * (MAX_CHARS - 4) + "deal"]


def test_a_translation_is_nearer_than_another_meaning() -> None:
    english, spanish, other = packaged_encoder().vectors(
        ["How much is it?", "¿Cuánto cuesta?", "I will not come back, what a bad shop"]
    )
    assert english @ spanish > english @ other + 0.2
    assert np.isclose(english @ english, 1, atol=1e-3)
