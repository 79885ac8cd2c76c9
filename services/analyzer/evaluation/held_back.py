"""Whether a model trained on people's labels is better, by labels of customers that it has not seen. Pure.

People set what they find wrong more often than what is right, so labels alone would say that any change is good. Labels
with which the shipped model agrees therefore count more: as much more as it takes until their share is what that model
expects of itself, its mean confidence, and no more than MAX_SHARE each. So labels say in which direction the model
errs. How often it errs they cannot say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.analyzer.evaluation.uncertainty import Figure, bootstrap, wilson
from shared.contract.ids import content_hash

FOLDS = 5
MAX_SHARE = 10.0
FEW_AGREE = 10
"""With fewer labels that agree, nothing is known of how a model does where the shipped one is right."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """`shipped` and `trained` are the shares of labels that agree.

    `gain` is the difference of the shares when a label that agrees with the shipped model counts `share`; its interval
    is over customers. `agree` is the number of those labels.
    """

    shipped: Figure
    trained: Figure
    gain: Figure
    share: float
    agree: int

    @property
    def result(self) -> str:
        """One sentence on whether the trained model is better."""
        low, high = self.gain.interval or (0.0, 0.0)
        shares = f"it agrees with {_percent(self.trained)} of the held-back labels instead of {_percent(self.shipped)}"
        if low > 0 and self.agree < FEW_AGREE:
            return f"Better on what people corrected: {shares}; too few confirm the shipped model to say more."
        if low > 0:
            return f"Better: {shares}."
        return f"Worse: {shares}, weighted." if high < 0 else f"No difference can be told: {shares}."


def agreeing_share(agrees: Sequence[bool], confidences: Sequence[float]) -> float:
    """Return how much a label that agrees counts, 1 to MAX_SHARE, beside one that does not. Confidences are 0 to 1."""
    right, expected = sum(agrees), sum(confidences) / len(confidences)
    if not right or expected >= 1:
        return MAX_SHARE
    return min(MAX_SHARE, max(1.0, expected / (1 - expected) * (len(agrees) - right) / right))


def folds(customers: Sequence[str]) -> list[list[int]]:
    """Return the places of the labels in FOLDS groups; all of a customer are in one, whatever the order."""
    number = {each: place % FOLDS for place, each in enumerate(sorted(set(customers), key=content_hash))}
    return [[place for place, each in enumerate(customers) if number[each] == fold] for fold in range(FOLDS)]


def compare(customers: Sequence[str], shipped: Sequence[bool], trained: Sequence[bool], share: float) -> HeldBack:
    """`shipped` and `trained` say of each label whether that model agrees with it."""
    places: dict[str, list[int]] = {}
    for place, customer in enumerate(customers):
        places.setdefault(customer, []).append(place)
    groups = list(places.values())

    def gain(chosen: Sequence[int]) -> float:
        each = [place for group in chosen for place in groups[group]]
        counts = [share if shipped[place] else 1.0 for place in each]
        gained = sum((trained[place] - shipped[place]) * count for place, count in zip(each, counts, strict=True))
        return gained / sum(counts)

    found = Figure(gain(range(len(groups))), len(shipped), bootstrap(gain, len(groups)))
    return HeldBack(_share(shipped), _share(trained), found, share, sum(shipped))


def _share(agrees: Sequence[bool]) -> Figure:
    return Figure(sum(agrees) / len(agrees), len(agrees), wilson(sum(agrees), len(agrees)))


def _percent(figure: Figure) -> str:
    return f"{figure.value or 0:.0%}".replace("%", " %")
