"""The agreement of verdicts with labels."""

from __future__ import annotations

import random

import pytest

from services.analyzer.evaluation.measures import Label, LabelledVerdict, Measures, measure, spearman
from shared.contract.contacts import Band, LeadStatus

WARM = Label(38, 58, frozenset({LeadStatus.CONTACTED, LeadStatus.QUALIFIED}), Band.WARM)
COLD = Label(1, 20, frozenset({LeadStatus.LOST}), Band.COLD)


def test_shares_count_labelled_verdicts_and_include_both_interval_ends() -> None:
    judged = [
        LabelledVerdict(WARM, 38, LeadStatus.CONTACTED),
        LabelledVerdict(WARM, 58, LeadStatus.NEW),
        LabelledVerdict(WARM, 59, LeadStatus.QUALIFIED),
        LabelledVerdict(COLD, 21, LeadStatus.NEW),
    ]
    found = measure(judged)
    assert (found.labelled, found.score_in_interval, found.band, found.status) == (4, 0.5, 1.0, 0.5)
    assert found.spearman == pytest.approx(0.7745966)


def test_no_verdicts_give_no_shares() -> None:
    assert measure([]) == Measures(0, None, None, None, None)


@pytest.mark.parametrize(
    ("left", "right", "correlation"),
    [
        ([1, 2, 3], [10, 20, 30], 1.0),
        ([1, 2, 3], [30, 20, 10], -1.0),
        ([1, 2, 2, 4], [1, 3, 3, 4], 1.0),
        ([1, 2, 3, 4], [2, 1, 4, 3], 0.6),
        ([1, 2, 3], [5, 5, 5], None),
        ([1], [1], None),
        ([], [], None),
    ],
)
def test_rank_correlation_matches_known_values(
    left: list[float], right: list[float], correlation: float | None
) -> None:
    assert spearman(left, right) == (None if correlation is None else pytest.approx(correlation))


def test_rank_correlation_depends_only_on_order() -> None:
    scores = random.Random(1).sample(range(1_000_000), 20_000)
    assert spearman(scores, [score**3 for score in scores]) == pytest.approx(1.0)
