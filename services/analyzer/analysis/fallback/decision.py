"""Decide band, status, score and confidence from the model's probabilities. Pure.

Band and status are chosen together, as some exclude each other: WON is ready, LOST is cold. WON also needs a
probability from which on nearly all are really won; without it a ready lead is about to close.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from services.analyzer.analysis.fallback.model import Calibration, Prediction
from services.analyzer.analysis.fallback.overrides import Override
from shared.contract.contacts import Band, LeadStatus

LIMITS = {Band.COLD: (1, 30), Band.WARM: (31, 60), Band.HOT: (61, 80), Band.READY: (81, 84)}
"""Lowest and highest score of a band."""
STATUS_LIMITS = {LeadStatus.WON: (85, 100), LeadStatus.LOST: (1, 20)}
"""The same for statuses that have their own."""
ONLY_IN = {LeadStatus.WON: Band.READY, LeadStatus.LOST: Band.COLD}
MIDDLES = {Band.COLD: 15.0, Band.WARM: 46.0, Band.HOT: 71.0, Band.READY: 92.0}
SPREAD = 12.0
"""This many points of the expected score above a band's middle are three quarters of the way to its upper end."""


@dataclass(frozen=True, slots=True)
class Decision:
    band: Band
    status: LeadStatus
    score: int
    confidence: int


def decide(prediction: Prediction, calibration: Calibration, override: Override | None = None) -> Decision:
    """Return the most probable pair of band and status that may stand together."""
    bands = [override.band] if override and override.band else list(prediction.bands)
    statuses = [override.status] if override else _statuses(prediction, calibration)
    pairs = [(band, status) for band in bands for status in statuses if ONLY_IN.get(status, band) is band]
    band, status = max(pairs, key=lambda pair: prediction.bands[pair[0]] * prediction.statuses[pair[1]])
    confidence = calibration.confidence(prediction.bands[band], prediction.statuses[status])
    return Decision(band, status, _score(prediction, band, status), round(100 * confidence))


def _statuses(prediction: Prediction, calibration: Calibration) -> list[LeadStatus]:
    is_sure = prediction.statuses[LeadStatus.WON] >= calibration.won_from
    return [status for status in prediction.statuses if is_sure or status is not LeadStatus.WON]


def _score(prediction: Prediction, band: Band, status: LeadStatus) -> int:
    """Return the place between the limits: the higher the expected score, the nearer to the upper one."""
    low, high = STATUS_LIMITS.get(status, LIMITS[band])
    expected = sum(probability * MIDDLES[each] for each, probability in prediction.bands.items())
    return round(low + (high - low) / (1 + exp((MIDDLES[band] - expected) / SPREAD)))
