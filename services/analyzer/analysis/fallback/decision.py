"""Decide band, status, score and confidence from the model's probabilities. Pure.

The score follows the expected band, so that it moves as gradually as the probabilities do. WON needs a probability
from which on nearly all are really won; without it a ready lead is about to close.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from services.analyzer.analysis.fallback.model import BANDS, Calibration, Prediction
from services.analyzer.analysis.fallback.overrides import Override
from shared.contract.contacts import Band, LeadStatus, band

LIMITS = {Band.COLD: (1, 30), Band.WARM: (31, 60), Band.HOT: (61, 80), Band.READY: (81, 100)}
"""Lowest and highest score of a band."""
OPEN_STATUSES = (
    LeadStatus.NEW,
    LeadStatus.CONTACTED,
    LeadStatus.QUALIFIED,
    LeadStatus.PROPOSAL_SENT,
    LeadStatus.NEGOTIATING,
)
ADVANCED_STATUSES = OPEN_STATUSES[2:]
"""Those of a hot or ready lead: of such conversations hardly any is labelled new or contacted."""
STATUS_LIMITS = {LeadStatus.WON: (85, 100), LeadStatus.LOST: (1, 20)}
"""The same for statuses that have their own."""
BORDERS = (30.5, 60.5, 80.5)
"""Scores between two bands."""
LOWEST, MOST_COLD, LEAST_READY, HIGHEST = 3.0, 26.0, 86.0, 97.0
"""Scores at the ends, and half-way from an end to its border: few leads are as cold or as ready as the ends."""


@dataclass(frozen=True, slots=True)
class Decision:
    band: Band
    status: LeadStatus
    score: int
    confidence: int


def decide(prediction: Prediction, calibration: Calibration, override: Override | None = None) -> Decision:
    graded = _graded(prediction, calibration)
    chosen, status = _chosen(prediction, calibration, band(round(graded)))
    if override:
        chosen, status = override.band or chosen, override.status
    low, high = STATUS_LIMITS.get(status, LIMITS[chosen])
    confidence = calibration.confidence(prediction.bands[chosen], prediction.statuses[status])
    return Decision(chosen, status, min(high, max(low, round(graded))), round(100 * confidence))


def _chosen(prediction: Prediction, calibration: Calibration, found: Band) -> tuple[Band, LeadStatus]:
    """Return band and status. Only a cold lead is LOST, only a ready one WON; silence alone makes one UNRESPONSIVE."""
    if prediction.statuses[LeadStatus.WON] >= calibration.won_from:
        return Band.READY, LeadStatus.WON
    return found, max(_possible(found), key=prediction.statuses.__getitem__)


def _possible(found: Band) -> tuple[LeadStatus, ...]:
    if found is Band.COLD:
        return (*OPEN_STATUSES, LeadStatus.LOST)
    return OPEN_STATUSES if found is Band.WARM else ADVANCED_STATUSES


def _graded(prediction: Prediction, calibration: Calibration) -> float:
    """Return the score of the expected place among the bands, interpolated between the calibrated borders."""
    place, (first, second, third), last = prediction.place, calibration.borders, len(BANDS) - 1
    places = (0.0, first / 2, first, second, third, (third + last) / 2, last)
    scores = (LOWEST, MOST_COLD, *BORDERS, LEAST_READY, HIGHEST)
    above = min(len(places) - 1, bisect_right(places, place))
    left, right, low, high = places[above - 1], places[above], scores[above - 1], scores[above]
    return low + (high - low) * (place - left) / (right - left)
