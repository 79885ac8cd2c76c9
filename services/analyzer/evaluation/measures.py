"""Measure how well verdicts agree with labels that people gave. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shared.contract.contacts import Band, LeadStatus, band

TOP = 20
SURE = 70
JUMP = 30
BINS = 10
CLOSED = frozenset({LeadStatus.WON, LeadStatus.LOST})
PROMISING = frozenset({Band.HOT, Band.READY})
BANDS = tuple(Band)


@dataclass(frozen=True, slots=True)
class Label:
    """A person's judgement: the interval of the score, both ends included, every right status, the band.

    `best` is the best one of the statuses.
    """

    low: int
    high: int
    statuses: frozenset[LeadStatus]
    band: Band
    best: LeadStatus | None = None


@dataclass(frozen=True, slots=True)
class LabelledVerdict:
    """An analyst's verdict on a conversation of `lines` lines with a label.

    `prefixes` are the scores and statuses after each message, as of the time of that message; None if not asked for.
    """

    label: Label
    score: int
    status: LeadStatus
    confidence: int = 0
    language: str = "unknown"
    lines: int = 0
    prefixes: tuple[tuple[int, LeadStatus], ...] | None = None

    @property
    def is_band_right(self) -> bool:
        return band(self.score) is self.label.band

    @property
    def is_status_right(self) -> bool:
        return self.status in self.label.statuses


@dataclass(frozen=True, slots=True)
class Measures:
    """Shares are 0 to 1. None where a measure is undefined: a share of nothing, a correlation of equal values.

    A conversation is labelled WON or LOST if that is the best of its statuses, and never won if WON is none of them.
    """

    labelled: int
    band: float | None
    """Share with the right band."""
    status: float | None
    """Share with an acceptable status."""
    won_precision: float | None
    """Share of those called WON that are labelled WON."""
    won_recall: float | None
    """Share of those labelled WON that are called WON."""
    auc: float | None
    """The probability that the score of one labelled hot or ready is above that of another one."""
    spearman: float | None
    """Rank correlation of the scores with the middles of the labels' intervals."""
    open_spearman: float | None
    """The same over those labelled neither WON nor LOST."""
    far_off: float | None
    """Share with a band that is two or more from the right one."""
    cold_at_top: float | None
    """How many of the TOP highest scores that are called neither WON nor LOST are labelled cold."""
    calibration_error: float | None
    """Mean difference, in BINS bins, between `confidence` and the share in which band and status are right."""
    sure_right: float | None
    """Share in which band and status are right, of those with a confidence of SURE or more."""
    sure: float | None
    """Share with a confidence of SURE or more."""
    won_on_the_way: float | None
    """Share of the never won that are called WON after some message."""
    jumps: float | None
    """Changes of the score by JUMP or more from one message to the next, a conversation."""
    scores: float | None
    """How many different scores there are."""


@dataclass(frozen=True, slots=True)
class Measure:
    """`value` of the verdicts that `counts` admits; a share is the mean of a yes or no of each."""

    value: Callable[[Sequence[LabelledVerdict]], float | None]
    counts: Callable[[LabelledVerdict], bool] = lambda _: True
    is_share: bool = False

    def counted(self, judged: Iterable[LabelledVerdict]) -> list[LabelledVerdict]:
        return [each for each in judged if self.counts(each)]

    def of(self, judged: Iterable[LabelledVerdict]) -> float | None:
        return self.value(self.counted(judged))


def measure(judged: Iterable[LabelledVerdict]) -> Measures:
    each = list(judged)
    return Measures(len(each), **{name: measure.of(each) for name, measure in MEASURES.items()})


def spearman(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Return -1 to 1; None where one side has fewer than two different values."""
    a, b = _ranks(left), _ranks(right)
    mean = (len(a) - 1) / 2
    covariance = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    spread = sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b)
    return covariance / spread**0.5 if spread else None


def auc(scores: Sequence[float], is_positive: Sequence[bool]) -> float | None:
    """Return the share of pairs in the right order, a tie counting half; None unless there are both kinds."""
    positives = sum(is_positive)
    negatives = len(scores) - positives
    if not positives or not negatives:
        return None
    ranks = sum(rank for rank, positive in zip(_ranks(scores), is_positive, strict=True) if positive)
    return (ranks - positives * (positives - 1) / 2) / (positives * negatives)


def _share_of(
    is_hit: Callable[[LabelledVerdict], bool], counts: Callable[[LabelledVerdict], bool] = lambda _: True
) -> Measure:
    def share(judged: Sequence[LabelledVerdict]) -> float | None:
        return sum(map(is_hit, judged)) / len(judged) if judged else None

    return Measure(share, counts, is_share=True)


def _is_right(judged: LabelledVerdict) -> bool:
    return judged.is_band_right and judged.is_status_right


def _is_far_off(judged: LabelledVerdict) -> bool:
    return abs(BANDS.index(band(judged.score)) - BANDS.index(judged.label.band)) > 1


def _is_sure(judged: LabelledVerdict) -> bool:
    return judged.confidence >= SURE


def _was_called_won(judged: LabelledVerdict) -> bool:
    return any(status is LeadStatus.WON for _, status in judged.prefixes or ())


def _is_never_won(judged: LabelledVerdict) -> bool:
    return judged.prefixes is not None and LeadStatus.WON not in judged.label.statuses


def _rank_correlation(judged: Sequence[LabelledVerdict]) -> float | None:
    return spearman([each.label.low + each.label.high for each in judged], [each.score for each in judged])


def _auc_of_promising(judged: Sequence[LabelledVerdict]) -> float | None:
    return auc([each.score for each in judged], [each.label.band in PROMISING for each in judged])


def _cold_at_top(judged: Sequence[LabelledVerdict]) -> float | None:
    top = sorted(judged, key=lambda each: -each.score)[:TOP]
    return float(sum(each.label.band is Band.COLD for each in top)) if top else None


def _calibration_error(judged: Sequence[LabelledVerdict]) -> float | None:
    """Return the expected calibration error, 0 to 1: each bin weighs as many verdicts as it has."""
    gaps = [0.0] * BINS
    for each in judged:
        gaps[min(each.confidence * BINS // 100, BINS - 1)] += _is_right(each) - each.confidence / 100
    return sum(map(abs, gaps)) / len(judged) if judged else None


def _jumps(judged: Sequence[LabelledVerdict]) -> float | None:
    steps = (pairwise(score for score, _ in each.prefixes or ()) for each in judged)
    jumps = sum(abs(after - before) >= JUMP for each in steps for before, after in each)
    return jumps / len(judged) if judged else None


def _different_scores(judged: Sequence[LabelledVerdict]) -> float | None:
    return float(len({each.score for each in judged})) if judged else None


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the ranks; equal values share the mean of their ranks."""
    ordered = sorted(values)
    return [(bisect_left(ordered, value) + bisect_right(ordered, value) - 1) / 2 for value in values]


MEASURES = {
    "band": _share_of(lambda each: each.is_band_right),
    "status": _share_of(lambda each: each.is_status_right),
    "won_precision": _share_of(
        lambda each: each.label.best is LeadStatus.WON, lambda each: each.status is LeadStatus.WON
    ),
    "won_recall": _share_of(lambda each: each.status is LeadStatus.WON, lambda each: each.label.best is LeadStatus.WON),
    "auc": Measure(_auc_of_promising),
    "spearman": Measure(_rank_correlation),
    "open_spearman": Measure(_rank_correlation, lambda each: each.label.best not in CLOSED),
    "far_off": _share_of(_is_far_off),
    "cold_at_top": Measure(_cold_at_top, lambda each: each.status not in CLOSED),
    "calibration_error": Measure(_calibration_error),
    "sure_right": _share_of(_is_right, _is_sure),
    "sure": _share_of(_is_sure),
    "won_on_the_way": _share_of(_was_called_won, _is_never_won),
    "jumps": Measure(_jumps, lambda each: each.prefixes is not None),
    "scores": Measure(_different_scores),
}
"""By their names in `Measures`."""
