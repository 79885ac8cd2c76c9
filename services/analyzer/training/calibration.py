"""Calibrate a model on predictions for conversations whose authors it was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from services.analyzer.analysis.fallback.decision import decide
from services.analyzer.analysis.fallback.model import BANDS, Calibration, Prediction
from services.analyzer.evaluation.measures import Label
from shared.contract.contacts import LeadStatus

WON_PRECISION = 0.955
"""The share of deals called WON that must be won."""
NEVER = 1.01


def calibrate(predictions: Sequence[Prediction], labels: Sequence[Label]) -> Calibration:
    uncalibrated = Calibration(0.0, 1.0, 1.0, won_threshold(predictions, labels), best_borders(predictions, labels))
    decisions = [decide(prediction, uncalibrated) for prediction in predictions]
    right = [
        decision.band is label.band and decision.status in label.statuses
        for decision, label in zip(decisions, labels, strict=True)
    ]
    chosen = [
        (prediction.bands[decision.band], prediction.statuses[decision.status])
        for prediction, decision in zip(predictions, decisions, strict=True)
    ]
    regression = LogisticRegression(C=100.0).fit(np.array(chosen), np.array(right))
    band, status = (round(float(each), 3) for each in regression.coef_[0])
    return replace(uncalibrated, bias=round(float(regression.intercept_[0]), 3), band=band, status=status)


def best_borders(predictions: Sequence[Prediction], labels: Sequence[Label]) -> tuple[float, float, float]:
    """Return the places that part each two neighbouring bands with the fewest errors."""
    places = np.array([prediction.place for prediction in predictions])
    bands = np.array([BANDS.index(label.band) for label in labels])
    candidates = np.round(np.linspace(0.1, len(BANDS) - 1.1, 181), 3)
    errors = [
        [_errors(places[bands == number], places[bands == number + 1], border) for border in candidates]
        for number in range(len(BANDS) - 1)
    ]
    first, second, third = sorted(float(candidates[int(np.argmin(each))]) for each in errors)
    return first, second, third


def _errors(below: NDArray[np.float64], above: NDArray[np.float64], border: float) -> int:
    return int((below > border).sum() + (above <= border).sum())


def won_threshold(predictions: Sequence[Prediction], labels: Sequence[Label]) -> float:
    """Return the least probability of WON from which on the wanted precision is kept; more than 1 if there is none."""
    ranked = sorted(
        zip((prediction.statuses[LeadStatus.WON] for prediction in predictions), labels, strict=True),
        key=lambda pair: -pair[0],
    )
    threshold, won = NEVER, 0
    for called, (probability, label) in enumerate(ranked, 1):
        won += label.best is LeadStatus.WON
        if won >= WON_PRECISION * called:
            threshold = probability
    return round(threshold, 3)
