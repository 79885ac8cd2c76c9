"""Measure how well verdicts agree with labels that people gave. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.contract.contacts import Band, LeadStatus, band


@dataclass(frozen=True, slots=True)
class Label:
    """A person's judgement: the interval of the score, both ends included, every right status, the band."""

    low: int
    high: int
    statuses: frozenset[LeadStatus]
    band: Band


@dataclass(frozen=True, slots=True)
class LabelledVerdict:
    """An analyst's verdict on a conversation with a label."""

    label: Label
    score: int
    status: LeadStatus


@dataclass(frozen=True, slots=True)
class Measures:
    """Shares of the labelled conversations, 0 to 1, and Spearman's rank correlation with the intervals' middles.

    None where a measure is undefined: a share of nothing, a correlation where all scores or all labels are equal.
    """

    labelled: int
    score_in_interval: float | None
    band: float | None
    status: float | None
    spearman: float | None


def measure(judged: Iterable[LabelledVerdict]) -> Measures:
    each = list(judged)
    return Measures(
        labelled=len(each),
        score_in_interval=_share([one.label.low <= one.score <= one.label.high for one in each]),
        band=_share([band(one.score) is one.label.band for one in each]),
        status=_share([one.status in one.label.statuses for one in each]),
        spearman=spearman([one.label.low + one.label.high for one in each], [one.score for one in each]),
    )


def spearman(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Return -1 to 1; None where one side has fewer than two different values."""
    a, b = _ranks(left), _ranks(right)
    mean = (len(a) - 1) / 2
    covariance = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    spread = sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b)
    return covariance / spread**0.5 if spread else None


def _share(hits: list[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the ranks; equal values share the mean of their ranks."""
    ordered = sorted(values)
    return [(bisect_left(ordered, value) + bisect_right(ordered, value) - 1) / 2 for value in values]
