"""The fallback's learned model: from features to probabilities of bands and statuses, and what decided them. Pure.

The weights are one data file that `make train` writes. The bands are one multinomial logistic regression; each status
is a binary one, as several may be acceptable for one conversation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import exp
from typing import Any

from shared.contract.contacts import Band, LeadStatus

BANDS = tuple(Band)
STATUSES = tuple(LeadStatus)
WEIGHTS_FILE = "weights.json"


@dataclass(frozen=True, slots=True)
class Linear:
    """Logits are `bias` plus value times weight over the features; one number per band, then one per status.

    `means` has the mean of each feature over the training data: what a feature says is its distance from there.
    """

    bias: Sequence[float]
    weights: Mapping[str, Sequence[float]]
    means: Mapping[str, float]

    def logits(self, values: Mapping[str, float]) -> list[float]:
        totals = list(self.bias)
        weights = self.weights
        for name, value in values.items():
            row = weights.get(name)
            if row is not None:
                totals = [total + value * weight for total, weight in zip(totals, row, strict=True)]
        return totals


@dataclass(frozen=True, slots=True)
class Prediction:
    """Probabilities by band, which add up to 1, and by status: that it is an acceptable one."""

    bands: Mapping[Band, float]
    statuses: Mapping[LeadStatus, float]

    @property
    def band(self) -> Band:
        return max(self.bands, key=self.bands.__getitem__)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Turns probabilities into the probability that band and status are both right, by a logistic regression.

    `won_from` is the least probability of WON at which the fallback calls a deal won.
    """

    bias: float
    band: float
    status: float
    won_from: float

    def confidence(self, band: float, status: float) -> float:
        return _sigmoid(self.bias + self.band * band + self.status * status)


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    linear: Linear
    calibration: Calibration

    def predict(self, values: Mapping[str, float]) -> Prediction:
        return predict(self.linear, values)

    def contributions(self, values: Mapping[str, float], band: Band) -> dict[str, float]:
        """Return how much each feature speaks for the band and against the mean of the others, in logits."""
        chosen = BANDS.index(band)
        found = {}
        for name, value in values.items():
            row = self.linear.weights.get(name)
            if row is not None:
                each = row[: len(BANDS)]
                margin = each[chosen] - (sum(each) - each[chosen]) / (len(BANDS) - 1)
                found[name] = margin * (value - self.linear.means[name])
        return found

    def to_json(self) -> str:
        """Return the data file: one feature a line, sorted, so that a change of it can be read."""
        head = {
            "name": self.name,
            "outputs": [*BANDS, *STATUSES],
            "calibration": {name: getattr(self.calibration, name) for name in Calibration.__slots__},
            "bias": list(self.linear.bias),
        }
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
        rows = [
            f"    {json.dumps(name)}: {json.dumps([self.linear.means[name], *row])}"
            for name, row in sorted(self.linear.weights.items())
        ]
        return "\n".join(["{", *lines, '  "features": {', ",\n".join(rows), "  }", "}", ""])

    @classmethod
    def from_json(cls, text: str) -> Model:
        """ValueError for weights of other bands or statuses."""
        data: dict[str, Any] = json.loads(text)
        if data["outputs"] != [*BANDS, *STATUSES]:
            raise ValueError("the weights are for other bands or statuses")
        rows = {name: tuple(row) for name, row in data["features"].items()}
        linear = Linear(
            bias=tuple(data["bias"]),
            weights={name: row[1:] for name, row in rows.items()},
            means={name: row[0] for name, row in rows.items()},
        )
        return cls(data["name"], linear, Calibration(**data["calibration"]))


def predict(linear: Linear, values: Mapping[str, float]) -> Prediction:
    logits = linear.logits(values)
    of_bands, of_statuses = logits[: len(BANDS)], logits[len(BANDS) :]
    highest = max(of_bands)
    odds = [exp(logit - highest) for logit in of_bands]
    total = sum(odds)
    return Prediction(
        {band: each / total for band, each in zip(BANDS, odds, strict=True)},
        {status: _sigmoid(logit) for status, logit in zip(STATUSES, of_statuses, strict=True)},
    )


@cache
def load_model(package: str = "services.analyzer.analysis.fallback") -> Model:
    """Read a package's weights once per process."""
    text = files(package).joinpath(WEIGHTS_FILE).read_text(encoding="utf-8")
    return Model.from_json(text)


def _sigmoid(logit: float) -> float:
    return 1 / (1 + exp(-max(-60.0, min(60.0, logit))))
