"""Fit the numbers that an account's labels add to the shipped model's.

They are penalised for their size, so few labels move the model little and the shipped one is where it starts from.
What is said of a case may leave several outputs possible: the fit raises their probability together. The result depends
on the labels alone: the solver starts from zero and nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]

from services.analyzer.analysis.fallback.decision import OPEN_STATUSES
from services.analyzer.analysis.fallback.model import BANDS, STATUSES, Linear
from services.analyzer.training.fit import MIN_SPREAD, rounded, to_matrix
from services.analyzer.training.owner_labels import OwnerLabel
from shared.contract.contacts import LeadStatus
from shared.domain.account_models import ModelKind

Matrix = NDArray[np.float64]
BIAS_PENALTY = 10.0
FACTOR_PENALTY = 1.0
WEIGHT_PENALTY = 300.0
"""Of a feature with the spread 1 over the account's labels."""
MAX_ITERATIONS = 200
MIN_CASES = 20
"""A feature that fewer labels have keeps its weights."""
CHOSEN_STATUSES = (*OPEN_STATUSES, LeadStatus.LOST)
"""Those of which the model chooses the most probable. WON keeps its numbers: its precision was measured on far more
than the labels of an account. UNRESPONSIVE follows from silence alone."""
STATUS_COLUMNS = [len(BANDS) + STATUSES.index(status) for status in CHOSEN_STATUSES]
BAND_COLUMNS = list(range(len(BANDS)))


@dataclass(frozen=True, slots=True)
class Shift:
    """`bias` has a number for each output; `weights` a row of them for each feature that changes."""

    bias: tuple[float, ...]
    weights: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class OwnerCase:
    """A label, the features of its conversation, and how much it counts."""

    label: OwnerLabel
    values: Mapping[str, float]
    share: float


def fit_shift(linear: Linear, cases: Sequence[OwnerCase], kind: ModelKind) -> Shift:
    names = _changing(linear, cases) if kind is ModelKind.WEIGHTS else []
    matrix = to_matrix([case.values for case in cases], names)
    means, spreads = matrix.mean(axis=0), matrix.std(axis=0)
    scaled = np.hstack([np.ones((len(cases), 1)), (matrix - means) / spreads])
    penalties = np.array([BIAS_PENALTY, *[WEIGHT_PENALTY] * len(names)])
    logits = np.array([linear.logits(case.values) for case in cases])
    shares = np.array([case.share for case in cases])
    found = np.zeros((1 + len(names), len(linear.bias)))
    found[:, BAND_COLUMNS] = _fit(
        logits[:, BAND_COLUMNS],
        np.array([[band in case.label.bands for band in BANDS] for case in cases]),
        shares,
        scaled,
        penalties,
    )
    found[:, STATUS_COLUMNS] = _fit(
        logits[:, STATUS_COLUMNS],
        np.array([[status in case.label.statuses for status in CHOSEN_STATUSES] for case in cases]),
        shares,
        scaled,
        penalties,
    )
    weights = found[1:] / spreads[:, None]
    bias = found[0] - means @ weights
    rows = {name: tuple(map(rounded, row)) for name, row in zip(names, weights.tolist(), strict=True)}
    return Shift(tuple(map(rounded, bias.tolist())), rows)


def _changing(linear: Linear, cases: Sequence[OwnerCase]) -> list[str]:
    names = list(linear.weights)
    matrix = to_matrix([case.values for case in cases], names)
    changes = ((matrix != 0).sum(axis=0) >= MIN_CASES) & (matrix.std(axis=0) > MIN_SPREAD)
    return [name for name, does in zip(names, changes, strict=True) if does]


def _fit(logits: Matrix, possible: NDArray[np.bool_], shares: Matrix, scaled: Matrix, penalties: Matrix) -> Matrix:
    """Return what to add to the logits, a row for each column of `scaled`.

    A case of which nothing is possible says nothing of these outputs. The model may be less sure than people are.
    Without a factor on the logits, the numbers to add would make up for that by what people say most often, and turn
    choices that were right. The factor itself is not kept: the level of the confidence stays.
    """
    says = possible.any(axis=1)
    logits, possible, shares, scaled = logits[says], possible[says], shares[says], scaled[says]
    shape = (scaled.shape[1], logits.shape[1])

    def loss(flat: Matrix) -> tuple[float, Matrix]:
        factor, added = np.exp(flat[0]), flat[1:].reshape(shape)
        moved = factor * logits + scaled @ added
        odds = np.exp(moved - moved.max(axis=1, keepdims=True))
        of_possible = odds * possible
        total, right = odds.sum(axis=1, keepdims=True), of_possible.sum(axis=1, keepdims=True)
        excess = shares[:, None] * (odds / total - of_possible / right)
        value = -(shares * np.log(right / total)[:, 0]).sum() + (penalties[:, None] * added**2).sum() / 2
        slope = scaled.T @ excess + penalties[:, None] * added
        of_factor = factor * (excess * logits).sum() + FACTOR_PENALTY * flat[0]
        return float(value + FACTOR_PENALTY * flat[0] ** 2 / 2), np.append(of_factor, slope)

    start = np.zeros(1 + shape[0] * shape[1])
    found: Matrix = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS}).x
    added: Matrix = found[1:].reshape(shape) / np.exp(found[0])
    return added
