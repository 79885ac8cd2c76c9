"""The fallback's learned model: from features to probabilities of bands and statuses, and what decided them. Pure.

The weights are one data file that `make train` writes. The bands are one multinomial logistic regression; each status
is a binary one, as several may be acceptable for one conversation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.analyzer.analysis.fallback.wording import Wording
from shared.contract.contacts import Band, LeadStatus

BANDS = tuple(Band)
STATUSES = tuple(LeadStatus)
EVEN_BORDERS = (0.5, 1.5, 2.5)
SHARPNESS = 2.5
"""1 gives the mean band; the larger, the closer to the most probable one, and the larger the steps between scores."""
WEIGHTS_FILE = "weights.json"
PACKAGE = "services.analyzer.analysis.fallback"
MAX_NAMES = 4_096
"""Names of features whose subject is remembered; there are some hundreds, and more of the local model."""


@dataclass(frozen=True)
class Linear:
    """Logits are `bias` plus value times weight over the features; one number per band, then one per status.

    `means` has the mean of each feature over the training data: what a feature says is its distance from there. The
    subject of a feature is the part of its name after the colon.
    """

    bias: Sequence[float]
    weights: Mapping[str, Sequence[float]]
    means: Mapping[str, float]

    def logits(self, values: Mapping[str, float]) -> list[float]:
        places, known = self._known(values)
        logits: list[float] = (self._bias + known @ self._matrix[places]).tolist()
        return logits

    def contributions(self, values: Mapping[str, float], band: Band) -> dict[str, float]:
        """Return by subject how much its features speak for the band and against the mean of the others, in logits."""
        places, known = self._known(values)
        chosen = BANDS.index(band)
        of_bands = self._matrix[places, : len(BANDS)]
        margins = (of_bands[:, chosen] * len(BANDS) - of_bands.sum(axis=1)) / (len(BANDS) - 1)
        added = margins * (known - self._means[places])
        totals = np.bincount(self._subjects_of[places], added, len(self._subjects))
        return dict(zip(self._subjects, totals.tolist(), strict=True))

    def _known(self, values: Mapping[str, float]) -> tuple[list[int], NDArray[np.float64]]:
        """Return the rows of the features that have weights, and their values."""
        places = self._places
        known = {places[name]: value for name, value in values.items() if name in places}
        return list(known), np.fromiter(known.values(), np.float64, len(known))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.weights)}

    @cached_property
    def _matrix(self) -> NDArray[np.float64]:
        return np.array(list(self.weights.values()), np.float64).reshape(len(self.weights), len(self.bias))

    @cached_property
    def _bias(self) -> NDArray[np.float64]:
        return np.array(self.bias, np.float64)

    @cached_property
    def _means(self) -> NDArray[np.float64]:
        return np.array([self.means[name] for name in self.weights], np.float64)

    @cached_property
    def _subjects(self) -> list[str]:
        return list(dict.fromkeys(subject_of(name) for name in self.weights))

    @cached_property
    def _subjects_of(self) -> NDArray[np.intp]:
        numbers = {subject: number for number, subject in enumerate(self._subjects)}
        return np.array([numbers[subject_of(name)] for name in self.weights], np.intp)


@lru_cache(MAX_NAMES)
def subject_of(name: str) -> str:
    """Return what a feature is about: what the business says and the shape are subjects of their own."""
    group, _, what = name.partition(":")
    side = group.partition(" ")[0]
    return f"{side} {what}" if side in ("business", "shape") else what


@dataclass(frozen=True, slots=True)
class Prediction:
    """Probabilities by band, which add up to 1, and by status: that it is an acceptable one."""

    bands: Mapping[Band, float]
    statuses: Mapping[LeadStatus, float]

    @property
    def band(self) -> Band:
        return max(self.bands, key=self.bands.__getitem__)

    @property
    def place(self) -> float:
        """The expected place among the sharpened probabilities of the bands, from 0, cold, to 3, ready."""
        sharpened = [float(self.bands[band] ** SHARPNESS) for band in BANDS]
        return sum(number * each for number, each in enumerate(sharpened)) / sum(sharpened)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Turns probabilities into the probability that band and status are both right, by a logistic regression.

    `won_from` is the least probability of WON at which the fallback calls a deal won. `borders` are the places among
    the bands, see `Prediction.place`, that part each two of them best.
    """

    bias: float
    band: float
    status: float
    won_from: float
    borders: tuple[float, float, float] = EVEN_BORDERS

    def confidence(self, band: float, status: float) -> float:
        return _sigmoid(self.bias + self.band * band + self.status * status)


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    linear: Linear
    calibration: Calibration

    def predict(self, values: Mapping[str, float]) -> Prediction:
        return predict(self.linear, values)

    def to_json(self, wording: Wording | None = None) -> str:
        """Return the data file: one feature a line, sorted, so that a change of it can be read, and any wording."""
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
        last = [f', "wording": {json.dumps(wording.to_data(), ensure_ascii=False)}'] if wording else []
        return "\n".join(["{", *lines, '  "features": {', ",\n".join(rows), "  }", *last, "}", ""])

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
        return cls(data["name"], linear, _calibration(data["calibration"]))


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
def load_model(package: str = PACKAGE) -> Model:
    """Read a package's weights once per process."""
    return Model.from_json(_weights(package))


@cache
def load_wording() -> Wording:
    """Read the words' weights once per process."""
    return Wording.from_data(json.loads(_weights(PACKAGE))["wording"])


def _calibration(data: Mapping[str, Any]) -> Calibration:
    first, second, third = data["borders"]
    return Calibration(**{**data, "borders": (first, second, third)})


def _weights(package: str) -> str:
    return files(package).joinpath(WEIGHTS_FILE).read_text(encoding="utf-8")


def _sigmoid(logit: float) -> float:
    return 1 / (1 + exp(-max(-60.0, min(60.0, logit))))
