"""Fit the linear model of bands and statuses. It knows the features by their names alone.

The score of a growing conversation should move gradually, so weights are penalised for what one more message changes.
The result depends on the rows alone: the solver starts from zero and nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from services.analyzer.analysis.fallback.features import WORDING
from services.analyzer.analysis.fallback.model import BANDS, STATUSES, Linear, subject_of
from services.analyzer.evaluation.measures import Label
from shared.contract.contacts import LeadStatus

Matrix = NDArray[np.float64]
Row = Mapping[str, float]
BAND_STRENGTH, STATUS_STRENGTH = 0.005, 0.01
"""The inverse of the penalty on the weights, as scikit-learn's `C`."""
BAND_STEADINESS, WON_STEADINESS = (3.0, 4.0), (1.0, 0.0)
"""Penalty on the mean square of what a message of the business, and one of the customer, adds to a logit."""
NOT_WON_SHARE = 1.0
"""How much of a labelled conversation all steps on the way to it count."""
MAX_ITERATIONS = 500
MIN_CASES = 10
"""A feature that fewer conversations have is left out."""
COMPONENT = "component"
"""The group of the principal components of sentence vectors."""
TRUST = {WORDING: 2.0}
"""Subjects of features that are penalised less: their spread counts as so many."""
COMPONENT_TRUST = 0.5
"""The same for the components together: each keeps its own spread, so that the small ones weigh less."""
MIN_SPREAD = 1e-6
"""A feature that varies less is constant, but for rounding."""
NEVER = -20.0
"""The logit of a status that no conversation has."""
DIGITS = 4
"""Significant digits of a weight in the data file."""


@dataclass(frozen=True, slots=True)
class Step:
    """A conversation as it stood after one of its messages."""

    row: Row
    by_customer: bool


def fit(rows: Sequence[Row], labels: Sequence[Label], ways: Sequence[Sequence[Step]] = ()) -> Linear:
    """Return the model of rows of features and their labels; every row has a band, and one or more statuses.

    `ways` has the steps of each row's conversation, oldest first, or is empty. Of a conversation that is never won no
    step is.
    """
    names = _used_features(rows)
    matrix = to_matrix(rows, names)
    means, spreads = matrix.mean(axis=0), _spreads(matrix, names)
    scaled = (matrix - means) / spreads
    steps = _steps(ways, names, means, spreads)
    bands = np.array([BANDS.index(label.band) for label in labels])
    fitted = [_multinomial(scaled, bands, steps.steadied(BAND_STEADINESS))]
    for status in STATUSES:
        cases = Cases(scaled, np.array([status in label.statuses for label in labels]), np.ones(len(labels)))
        if status is LeadStatus.WON:
            cases = cases.with_others(*steps.not_won(labels))
            fitted.append(_binary(cases, steps.steadied(WON_STEADINESS)))
        else:
            fitted.append(_binary(cases, np.eye(len(names))))
    weights = np.vstack([each for each, _ in fitted]) / spreads
    bias = np.concatenate([each for _, each in fitted]) - weights @ means
    return Linear(
        bias=tuple(map(rounded, bias)),
        weights={name: tuple(map(rounded, column)) for name, column in zip(names, weights.T, strict=True)},
        means={name: rounded(mean) for name, mean in zip(names, means, strict=True)},
    )


@dataclass(frozen=True, slots=True)
class Cases:
    """Rows, which of them are ones, and how much of a labelled conversation each counts."""

    matrix: Matrix
    is_one: NDArray[np.bool_]
    shares: Matrix

    def with_others(self, matrix: Matrix, shares: Matrix) -> Cases:
        """Return these cases and others that are no ones."""
        return Cases(
            np.vstack([self.matrix, matrix]),
            np.append(self.is_one, np.zeros(len(matrix), bool)),
            np.append(self.shares, shares),
        )


@dataclass(frozen=True, slots=True)
class Steps:
    """All steps, one after another. `of` has the place of a step's conversation."""

    matrix: Matrix
    of: NDArray[np.intp]
    by_customer: NDArray[np.bool_]

    def steadied(self, steadiness: tuple[float, float]) -> Matrix:
        """Return a matrix by which rows are multiplied, so that a penalty on weights is one on changes as well."""
        penalty = np.eye(self.matrix.shape[1])
        continues = self.of[1:] == self.of[:-1]
        for strength, by_customer in zip(steadiness, (False, True), strict=True):
            later = np.flatnonzero(continues & (self.by_customer[1:] == by_customer)) + 1
            if strength and len(later):
                changes = self.matrix[later] - self.matrix[later - 1]
                penalty += strength * (changes.T @ changes) / len(later)
        return np.linalg.inv(np.linalg.cholesky(penalty)).T

    def not_won(self, labels: Sequence[Label]) -> tuple[Matrix, Matrix]:
        """Return the steps after the customer's messages of conversations that are never won, and their shares."""
        never = np.array([LeadStatus.WON not in label.statuses for label in labels])
        chosen = np.flatnonzero(self.by_customer & never[self.of])
        numbers = np.bincount(self.of[chosen], minlength=len(labels))
        return self.matrix[chosen], NOT_WON_SHARE / numbers[self.of[chosen]]


def _steps(ways: Sequence[Sequence[Step]], names: Sequence[str], means: Matrix, spreads: Matrix) -> Steps:
    each = [step for way in ways for step in way]
    return Steps(
        (to_matrix([step.row for step in each], names) - means) / spreads,
        np.repeat(np.arange(len(ways)), [len(way) for way in ways]),
        np.array([step.by_customer for step in each], bool),
    )


def _spreads(matrix: Matrix, names: Sequence[str]) -> Matrix:
    trust = [TRUST.get(subject_of(name), 1.0) for name in names]
    spreads: Matrix = matrix.std(axis=0) / trust
    spreads[[name.startswith(f"{COMPONENT} ") for name in names]] = 1 / COMPONENT_TRUST
    return spreads


def to_matrix(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> Matrix:
    columns = {name: column for column, name in enumerate(names)}
    matrix = np.zeros((len(rows), len(names)))
    for place, row in enumerate(rows):
        for name, value in row.items():
            if name in columns:
                matrix[place, columns[name]] = value
    return matrix


def _used_features(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the names of the features that enough rows have and that differ between rows, sorted."""
    names = sorted({name for row in rows for name in row})
    matrix = to_matrix(rows, names)
    used = ((matrix != 0).sum(axis=0) >= MIN_CASES) & (matrix.std(axis=0) > MIN_SPREAD)
    return [name for name, is_used in zip(names, used, strict=True) if is_used]


def _multinomial(matrix: Matrix, classes: NDArray[Any], steadied: Matrix) -> tuple[Matrix, Matrix]:
    """Return weights and bias of each band. ValueError where a band has no case."""
    if len(set(classes.tolist())) < len(BANDS):
        raise ValueError("the labelled conversations do not have every band")
    regression = LogisticRegression(C=BAND_STRENGTH, max_iter=MAX_ITERATIONS).fit(matrix @ steadied, classes)
    return regression.coef_ @ steadied.T, regression.intercept_


def _binary(cases: Cases, steadied: Matrix) -> tuple[Matrix, Matrix]:
    if cases.is_one.all() or not cases.is_one.any():
        return np.zeros((1, len(steadied))), np.array([NEVER if not cases.is_one.any() else -NEVER])
    regression = LogisticRegression(C=STATUS_STRENGTH, max_iter=MAX_ITERATIONS)
    regression.fit(cases.matrix @ steadied, cases.is_one, sample_weight=cases.shares)
    return regression.coef_ @ steadied.T, regression.intercept_


def rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
