"""The measures of verdicts against labels."""

from __future__ import annotations

import random
from dataclasses import asdict

import pytest

from services.analyzer.evaluation.measures import TOP, Label, LabelledVerdict, auc, measure, spearman
from shared.contract.contacts import Band, LeadStatus, band

WON, LOST, QUALIFIED, NEW = LeadStatus.WON, LeadStatus.LOST, LeadStatus.QUALIFIED, LeadStatus.NEW


def label(middle: int, *statuses: LeadStatus) -> Label:
    return Label(middle, middle, frozenset(statuses), band(middle), statuses[0])


WARM = label(48, LeadStatus.CONTACTED, QUALIFIED)
COLD = label(10, LOST)
SOLD = label(92, WON)


def test_a_band_and_any_acceptable_status_are_right() -> None:
    judged = [
        LabelledVerdict(WARM, 31, LeadStatus.CONTACTED),
        LabelledVerdict(WARM, 60, NEW),
        LabelledVerdict(WARM, 61, QUALIFIED),
        LabelledVerdict(COLD, 81, NEW),
    ]
    found = measure(judged)
    assert (found.labelled, found.band, found.status, found.far_off) == (4, 0.5, 0.5, 0.25)


def test_won_is_labelled_if_it_is_the_best_status() -> None:
    judged = [
        LabelledVerdict(SOLD, 92, WON),
        LabelledVerdict(SOLD, 70, QUALIFIED),
        LabelledVerdict(SOLD, 70, QUALIFIED),
        LabelledVerdict(label(75, LeadStatus.NEGOTIATING, WON), 90, WON),
    ]
    found = measure(judged)
    assert (found.won_precision, found.won_recall) == (1 / 2, 1 / 3)


def test_the_rank_of_open_leads_leaves_out_those_labelled_won_or_lost() -> None:
    upside_down = [LabelledVerdict(label(middle, QUALIFIED), 100 - middle, NEW) for middle in (40, 50, 60)]
    closed = [LabelledVerdict(label(1, LOST), 1, NEW), LabelledVerdict(label(99, WON), 99, NEW)]
    found = measure(upside_down + closed)
    assert found.open_spearman == pytest.approx(-1.0)
    assert found.spearman is not None
    assert found.spearman > 0


def test_cold_leads_count_only_among_the_highest_that_are_called_open() -> None:
    top = [LabelledVerdict(WARM, 80, QUALIFIED)] * (TOP - 2) + [LabelledVerdict(COLD, 79, QUALIFIED)] * 2
    others = [LabelledVerdict(COLD, 99, WON), LabelledVerdict(COLD, 78, QUALIFIED)]
    assert measure(others + top).cold_at_top == 2


def test_confidence_is_held_to_how_often_band_and_status_are_right() -> None:
    right = [LabelledVerdict(WARM, 50, QUALIFIED, confidence=75)] * 3
    half_right = [LabelledVerdict(WARM, 50, NEW, confidence=75)]
    unsure = [LabelledVerdict(WARM, 5, NEW, confidence=20)] * 4
    found = measure(right + half_right + unsure)
    assert (found.sure, found.sure_right) == (0.5, 0.75)
    assert found.calibration_error == pytest.approx(0.5 * 0 + 0.5 * 0.2)
    assert measure([LabelledVerdict(WARM, 50, QUALIFIED, confidence=100)]).calibration_error == 0


def test_prefixes_show_a_premature_win_and_jumps() -> None:
    way = ((20, NEW), (50, QUALIFIED), (92, WON), (63, QUALIFIED))
    judged = [
        LabelledVerdict(WARM, 63, QUALIFIED, prefixes=way),
        LabelledVerdict(WARM, 50, QUALIFIED, prefixes=((20, NEW), (49, QUALIFIED))),
        LabelledVerdict(SOLD, 92, WON, prefixes=((92, WON),)),
        LabelledVerdict(label(75, QUALIFIED, WON), 92, WON, prefixes=((92, WON),)),
    ]
    found = measure(judged)
    assert (found.won_on_the_way, found.jumps) == (0.5, 2 / 4)


def test_no_verdicts_give_no_measures() -> None:
    assert {name for name, value in asdict(measure([])).items() if value is not None} == {"labelled"}


def test_equal_scores_are_half_in_order() -> None:
    assert auc([3, 2, 2, 1], [True, True, False, False]) == 3.5 / 4
    assert auc([1, 2], [True, True]) is None
    hot = label(70, QUALIFIED)
    assert hot.band is Band.HOT
    assert measure([LabelledVerdict(hot, 30, NEW), LabelledVerdict(COLD, 40, NEW)]).auc == 0


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
