"""What the encoder says of a conversation's passages, as features beside those of the fast model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.analyzer.analysis.analyst import TranscriptLine
from services.analyzer.analysis.fallback.features import Features
from services.analyzer.analysis.local.encoder import DIMENSIONS, SentenceEncoder, Vectors
from services.analyzer.analysis.local.passages import Passage, find_passages

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


def with_sentences(features: Features, lines: Sequence[TranscriptLine], encoder: SentenceEncoder) -> Features:
    """Return the features with those of the wording. Their lines are the customer's lines of the passage."""
    passages = find_passages(lines)
    vectors = encoder.vectors([each.text for each in passages.each])
    few, more, customer, answers = vectors[0], vectors[1], vectors[2], vectors[3:]
    none = np.zeros(DIMENSIONS, np.float32)
    found = {
        FEW: (few, passages.few),
        MORE: (more, passages.more),
        CUSTOMER: (customer, passages.customer),
        ANSWER: (answers[-1], passages.answers[-1]) if len(answers) else (none, Passage("", ())),
        ANSWERS: (_faded(answers), passages.customer) if len(answers) else (none, Passage("", ())),
    }
    values, made_by = dict(features.values), dict(features.lines)
    for subject, (vector, passage) in found.items():
        names = feature_names(subject)
        values.update(zip(names, vector.tolist(), strict=True))
        made_by[names[0]] = passage.lines
    return Features(values, made_by, features.seen)


def _faded(answers: Vectors) -> Vectors:
    weights = FADING ** np.arange(len(answers) - 1, -1, -1, dtype=np.float32)
    faded: Vectors = weights @ answers / weights.sum()
    return faded


_NAMES = {subject: [f"{number}:{subject}" for number in range(DIMENSIONS)] for subject in SUBJECTS}
