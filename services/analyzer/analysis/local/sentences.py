"""What the encoder says of a conversation's passages, as features beside those of the fast model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from services.analyzer.analysis.analyst import TranscriptLine
from services.analyzer.analysis.fallback.features import Features
from services.analyzer.analysis.local.encoder import DIMENSIONS, SentenceEncoder, Vectors
from services.analyzer.analysis.local.passages import Passages, find_passages

FEW = "the wording of the last lines"
MORE = "the course of the conversation"
CUSTOMER = "all that the customer says"
ANSWER = "the last answer"
ANSWERS = "the latest answers"
SUBJECTS = (FEW, MORE, CUSTOMER, ANSWER, ANSWERS)
"""Each has one feature a dimension, `NUMBER:SUBJECT`."""
FADING = 0.85
"""The weight of a customer's line among the latest answers, relative to the next line's."""


def feature_names(subject: str) -> list[str]:
    return _NAMES[subject]


def sentence_vectors(lines: Sequence[TranscriptLine], encoder: SentenceEncoder) -> dict[str, Vectors]:
    """Return a vector of each subject, zeros where the customer has written nothing."""
    return _vectors(find_passages(lines), encoder)


def with_sentences(features: Features, lines: Sequence[TranscriptLine], encoder: SentenceEncoder) -> Features:
    """Return the features with those of the sentences. Their lines are the customer's lines of the passage."""
    passages = find_passages(lines)
    values, made_by = dict(features.values), dict(features.lines)
    for subject, vector in _vectors(passages, encoder).items():
        values.update(zip(feature_names(subject), vector.tolist(), strict=True))
        made_by[feature_names(subject)[0]] = _lines_of(passages, subject)
    return replace(features, values=values, lines=made_by)


def _vectors(passages: Passages, encoder: SentenceEncoder) -> dict[str, Vectors]:
    vectors = encoder.vectors([each.text for each in passages.each])
    answers = vectors[3:] if passages.answers else np.zeros((1, DIMENSIONS), np.float32)
    return {FEW: vectors[0], MORE: vectors[1], CUSTOMER: vectors[2], ANSWER: answers[-1], ANSWERS: _faded(answers)}


def _lines_of(passages: Passages, subject: str) -> tuple[int, ...]:
    if subject == ANSWER:
        return passages.answers[-1].lines if passages.answers else ()
    return {FEW: passages.few, MORE: passages.more}.get(subject, passages.customer).lines


def _faded(answers: Vectors) -> Vectors:
    weights = FADING ** np.arange(len(answers) - 1, -1, -1, dtype=np.float32)
    faded: Vectors = weights @ answers / weights.sum()
    return faded


_NAMES = {subject: [f"{number}:{subject}" for number in range(DIMENSIONS)] for subject in SUBJECTS}
