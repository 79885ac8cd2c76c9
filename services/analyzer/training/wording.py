"""Fit the learned words: acts on the lines that an author labelled with one, outputs on whole conversations.

The result depends on the conversations alone: the solver starts from zero and nothing is drawn at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression

from services.analyzer.analysis.analyst import SpeakerRole
from services.analyzer.analysis.fallback.lexicon import load_lexicon
from services.analyzer.analysis.fallback.signals import find_signals
from services.analyzer.analysis.fallback.wording import (
    ACTS,
    BUSINESS_SHARE,
    Share,
    Table,
    Wording,
    line_keys,
    line_shares,
)
from services.analyzer.training.labelled import LabelledConversation
from shared.contract.contacts import Band, LeadStatus

Matrix = NDArray[np.float64]
MIN_LINES = 4
"""A key that fewer lines have is left out."""
ACT_STRENGTH, OUTPUT_STRENGTH = 0.3, 9.0
"""The inverse of the penalty on the weights, as scikit-learn's `C`. A conversation's keys have a norm of about 1."""
NEVER = -20.0
"""The logit of what no conversation has."""
CUSTOMER, BUSINESS = SpeakerRole.CUSTOMER, SpeakerRole.BUSINESS
Columns = Mapping[SpeakerRole, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class ReadConversation:
    """A labelled conversation with the keys of its lines."""

    labelled: LabelledConversation
    keys: Sequence[Set[str]]


def read_keys(conversations: Sequence[LabelledConversation]) -> list[ReadConversation]:
    return [_read(each) for each in conversations]


def _read(labelled: LabelledConversation) -> ReadConversation:
    lines = labelled.analysis_input.transcript.lines
    seen = find_signals(lines, load_lexicon())
    keys = [
        line_keys(line, words, seen.by_line.get(index, frozenset()))
        for index, (line, words) in enumerate(zip(lines, seen.words, strict=True))
    ]
    return ReadConversation(labelled, keys)


def fit_wording(conversations: Sequence[ReadConversation]) -> Wording:
    """Return the wording of conversations of which some have acts."""
    columns = {role: _known_keys(conversations, role) for role in SpeakerRole}
    act_weights, act_bias = _fit_acts(conversations, columns)
    recent_and_newest, bias = _fit_outputs(conversations, columns)
    tables, start = {}, 0
    for role in SpeakerRole:
        end = start + len(columns[role])
        parts = [act_weights, *recent_and_newest]
        weights = np.hstack([part[start:end] for part in parts]).astype(np.float32)
        tables[role] = Table(columns[role], weights)
        start = end
    return Wording(tables, act_bias.astype(np.float32), bias.astype(np.float32))


def _known_keys(conversations: Sequence[ReadConversation], role: SpeakerRole) -> dict[str, int]:
    counts = Counter(
        key
        for each in conversations
        for line, keys in zip(each.labelled.analysis_input.transcript.lines, each.keys, strict=True)
        if line.role is role
        for key in keys
    )
    return {
        key: number for number, key in enumerate(sorted(key for key, count in counts.items() if count >= MIN_LINES))
    }


def _fit_acts(conversations: Sequence[ReadConversation], columns: Columns) -> tuple[Matrix, Matrix]:
    """Return the weights, a row for each key of the customer and then of the business, and the bias."""
    builder, acts = _RowBuilder(columns), []
    for each in conversations:
        for index, act in enumerate(each.labelled.case.acts):
            if act in ACTS:
                builder.add(CUSTOMER, each.keys[index], 1.0)
                builder.add(BUSINESS, _keys_before(each, index), BUSINESS_SHARE)
                builder.end_row()
                acts.append(act)
    matrix, found = builder.matrix(), np.array(acts)
    fitted = [_fit_one(matrix, found == act, ACT_STRENGTH) for act in ACTS]
    return np.vstack([each for each, _ in fitted]).T, np.concatenate([each for _, each in fitted])


def _keys_before(each: ReadConversation, index: int) -> Set[str]:
    """Return the keys of the business's last line before the line `index`."""
    lines = each.labelled.analysis_input.transcript.lines
    return next((each.keys[place] for place in range(index - 1, -1, -1) if lines[place].role is BUSINESS), frozenset())


def _fit_outputs(conversations: Sequence[ReadConversation], columns: Columns) -> tuple[tuple[Matrix, Matrix], Matrix]:
    """Return the weights by recency, those of the newest lines, and the bias."""
    recent = _output_matrix(conversations, columns, lambda share: share.recent)
    newest = _output_matrix(conversations, columns, lambda share: share.newest)
    matrix = hstack([recent, newest], format="csr")
    labels = [each.labelled.label for each in conversations]
    targets = [np.array([label.band is band for label in labels]) for band in Band]
    targets += [np.array([status in label.statuses for label in labels]) for status in LeadStatus]
    fitted = [_fit_one(matrix, target, OUTPUT_STRENGTH) for target in targets]
    weights = np.vstack([each for each, _ in fitted]).T
    width = recent.shape[1]
    return (weights[:width], weights[width:]), np.concatenate([each for _, each in fitted])


def _output_matrix(
    conversations: Sequence[ReadConversation], columns: Columns, part: Callable[[Share], float]
) -> csr_matrix:
    builder = _RowBuilder(columns)
    for each in conversations:
        lines = each.labelled.analysis_input.transcript.lines
        shares = line_shares(lines)
        norm = sqrt(sum(len(each.keys[index]) * (share.recent**2 + share.newest**2) for index, share in shares.items()))
        for index, share in shares.items():
            builder.add(lines[index].role, each.keys[index], part(share) / norm)
        builder.end_row()
    return builder.matrix()


def _fit_one(matrix: csr_matrix, target: NDArray[np.bool_], strength: float) -> tuple[Matrix, Matrix]:
    """Return weights and bias; what all or none of the rows have gets a bias alone."""
    if target.all() or not target.any():
        return np.zeros((1, matrix.shape[1])), np.array([-NEVER if target.any() else NEVER])
    regression = LogisticRegression(C=strength, solver="liblinear").fit(matrix, target)
    return regression.coef_, regression.intercept_


class _RowBuilder:
    """Builds a sparse matrix row by row, with the customer's keys in the first columns."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._start = {CUSTOMER: 0, BUSINESS: len(columns[CUSTOMER])}
        self.width = sum(map(len, columns.values()))
        self._places: list[int] = []
        self._values: list[float] = []
        self._ends = [0]

    def add(self, role: SpeakerRole, keys: Set[str], value: float) -> None:
        known, start = self._columns[role], self._start[role]
        places = [start + known[key] for key in sorted(keys) if key in known]
        self._places += places
        self._values += [value] * len(places)

    def end_row(self) -> None:
        self._ends.append(len(self._places))

    def matrix(self) -> csr_matrix:
        matrix = csr_matrix((self._values, self._places, self._ends), shape=(len(self._ends) - 1, self.width))
        matrix.sum_duplicates()
        return matrix
