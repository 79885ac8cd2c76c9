"""The intervals of measures."""

from __future__ import annotations

import pytest

from services.analyzer.evaluation.measures import MEASURES, Label, LabelledVerdict
from services.analyzer.evaluation.uncertainty import bootstrap, difference, figures, wilson
from shared.contract.contacts import Band, LeadStatus

WARM = Label(40, 50, frozenset({LeadStatus.QUALIFIED}), Band.WARM, LeadStatus.QUALIFIED)
RIGHT, WRONG = (LabelledVerdict(WARM, score, LeadStatus.QUALIFIED) for score in (45, 90))


@pytest.mark.parametrize(("hits", "cases", "low", "high"), [(8, 10, 0.4902, 0.9433), (0, 20, 0.0, 0.1611)])
def test_intervals_of_shares_match_known_values(hits: int, cases: int, low: float, high: float) -> None:
    assert wilson(hits, cases) == pytest.approx((low, high), abs=1e-4)


def test_more_cases_give_a_narrower_interval() -> None:
    def width(cases: int) -> float:
        interval = bootstrap(lambda places: sum(place % 2 for place in places) / len(places), cases)
        assert interval
        return interval[1] - interval[0]

    assert width(400) < width(40) / 2


def test_a_figure_has_the_number_of_cases_that_count() -> None:
    found = figures([RIGHT, WRONG, WRONG])
    assert (found["band"].value, found["band"].cases) == (1 / 3, 3)
    assert (found["won_recall"].value, found["won_recall"].cases, found["won_recall"].interval) == (None, 0, None)


def test_the_difference_on_the_same_conversations_is_surer_than_two_intervals() -> None:
    first, second = [RIGHT, WRONG] * 50, [RIGHT, WRONG] * 45 + [RIGHT] * 10
    found = difference(MEASURES["band"], first, second)
    alone = figures(second)["band"].interval
    assert found.value == pytest.approx(0.05)
    assert found.interval
    assert alone
    assert found.interval[0] > 0
    assert found.interval[1] - found.interval[0] < alone[1] - alone[0]
    with pytest.raises(ValueError, match="same conversations"):
        difference(MEASURES["band"], first, second[1:])
