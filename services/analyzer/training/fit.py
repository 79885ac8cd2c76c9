"""Fit the linear model of bands and statuses. It knows the features by their names alone.

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
SharedRow = tuple[Row, float]
"""A row, and how much of a labelled one it counts."""
STRENGTH = 0.005
"""The inverse of the penalty on the weights, as scikit-learn's `C`."""
MAX_ITERATIONS = 500
MIN_CASES = 10
"""A feature that fewer conversations have is left out."""
COMPONENT = "component"
"""The group of the principal components of sentence vectors."""
TRUST = {WORDING: 2.0}
"""Subjects of features that are penalised less: their spread counts as so many."""
COMPONENT_TRUST = 0.3
"""The same for the components together: each keeps its own spread, so that the small ones weigh less."""
MIN_SPREAD = 1e-6
"""A feature that varies less is constant, but for rounding."""
DIGITS = 4
"""Significant digits of a weight in the data file."""


@dataclass(frozen=True, slots=True)
class Extra:
    """Cases that are no ones, each counting as so much of a labelled one."""

    matrix: Matrix
    shares: Sequence[float]


def fit(
    rows: Sequence[Row],
    labels: Sequence[Label],
    not_won: Sequence[SharedRow] = (),
) -> Linear:
    """Return the model of rows of features and their labels; every row has a band, and one or more statuses.

    `not_won` are rows of which no more is known than that nothing is won yet.
    """
    names = _used_features(rows)
    matrix = to_matrix(rows, names)
    trust = [TRUST.get(subject_of(name), 1.0) for name in names]
    means, spreads = matrix.mean(axis=0), matrix.std(axis=0) / trust
    is_component = np.array([name.startswith(f"{COMPONENT} ") for name in names])
    spreads[is_component] = 1 / COMPONENT_TRUST
    scaled = (matrix - means) / spreads
    bands = np.array([BANDS.index(label.band) for label in labels])
    fitted = [_multinomial(scaled, bands)]
    extra = Extra((to_matrix([row for row, _ in not_won], names) - means) / spreads, [share for _, share in not_won])
    for status in STATUSES:
        is_acceptable = np.array([status in label.statuses for label in labels])
        fitted.append(_binary(scaled, is_acceptable, extra if status is LeadStatus.WON else None))
    weights = np.vstack([each for each, _ in fitted]) / spreads
    bias = np.concatenate([each for _, each in fitted]) - weights @ means
    return Linear(
        bias=tuple(map(rounded, bias)),
        weights={name: tuple(map(rounded, column)) for name, column in zip(names, weights.T, strict=True)},
        means={name: rounded(mean) for name, mean in zip(names, means, strict=True)},
    )


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


def _multinomial(matrix: Matrix, classes: NDArray[Any]) -> tuple[Matrix, Matrix]:
    """Return weights and bias of each band. ValueError where a band has no case."""
    if len(set(classes.tolist())) < len(BANDS):
        raise ValueError("the labelled conversations do not have every band")
    regression = LogisticRegression(C=STRENGTH, max_iter=MAX_ITERATIONS).fit(matrix, classes)
    return regression.coef_, regression.intercept_


def _binary(matrix: Matrix, is_one: NDArray[np.bool_], extra: Extra | None) -> tuple[Matrix, Matrix]:
    if is_one.all() or not is_one.any():
        return np.zeros((1, matrix.shape[1])), np.array([20.0 if is_one.all() else -20.0])
    shares = np.ones(len(matrix))
    if extra is not None:
        matrix, is_one = np.vstack([matrix, extra.matrix]), np.append(is_one, np.zeros(len(extra.matrix), bool))
        shares = np.append(shares, extra.shares)
    regression = LogisticRegression(C=STRENGTH, max_iter=MAX_ITERATIONS)
    regression.fit(matrix, is_one, sample_weight=shares)
    return regression.coef_, regression.intercept_


def rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
