"""The plot of a contact's score."""

from __future__ import annotations

import pytest

from services.console.contacts.score_plot import HEIGHT, score_plot
from shared.contract.contacts import AnalysisSource, Score
from tests.unit.console.rows import NOON


def scores(*values: int) -> list[Score]:
    return [Score(version=i + 1, score=v, source=AnalysisSource.AI, at=NOON) for i, v in enumerate(values)]


def test_a_plot_rises_with_the_score_and_stays_within_its_frame() -> None:
    made = score_plot(scores(1, 50, 100))
    assert made is not None
    heights = [point.y for point in made.points]
    assert heights == sorted(heights, reverse=True)
    assert all(0 <= height <= HEIGHT for height in heights)
    assert made.description == "Score over 3 analyses, from 1 to 100"


@pytest.mark.parametrize("values", [(), (50,)])
def test_fewer_than_two_scores_make_no_plot(values: tuple[int, ...]) -> None:
    assert score_plot(scores(*values)) is None
