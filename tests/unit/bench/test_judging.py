"""Percentiles, medians, limits and the table of a report."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.judging import Figure, Limit, Measured, Side, at_least, at_most, percentile
from tests.bench.report import table


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_a_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], percent) == expected


def test_one_slow_response_of_a_hundred_is_not_in_p99_but_two_are() -> None:
    assert percentile([1.0] * 99 + [500.0], 99) == 1
    assert percentile([1.0] * 98 + [500.0] * 2, 99) == 500


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.1, 100))
def test_a_percentile_bounds_the_share_of_values_below_it(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert sum(value <= found for value in values) >= percent / 100 * len(values) * (1 - 1e-9)
    assert sum(value < found for value in values) < percent / 100 * len(values) + 1e-9


def test_an_empty_list_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 99)


def test_one_bad_round_does_not_change_the_median_of_a_side() -> None:
    assert Side("acked", (9000.0, 12.0, 9100.0)).median == 9000


@pytest.mark.parametrize(
    ("limit", "value", "kept"),
    [
        (at_least(0.65), 0.65, True),
        (at_least(0.65), 0.6499, False),
        (at_most(25), 25.0, True),
        (at_most(25), 25.1, False),
        (at_most(0), 0, True),
        (at_most(0), 1, False),
    ],
)
def test_a_value_equal_to_its_bound_keeps_the_limit(limit: Limit, value: float, kept: bool) -> None:
    assert Figure("x", value, limit).is_kept is kept


def test_a_missed_limit_or_a_figure_not_measured_fails_the_run() -> None:
    kept = Measured(figures=(Figure("a", 1, at_least(1)),))
    assert kept.is_kept
    assert not (kept + Measured(figures=(Figure("b", 1, at_most(0)),))).is_kept
    assert not (kept + Measured(problems=("broker down: it did not stop",))).is_kept


def test_a_table_shows_values_limits_and_problems_in_100_columns() -> None:
    rounds = tuple(90.25 + number for number in range(10))
    measured = Measured(
        (Side("resident MB, each 100,000", rounds, "peak 99"),),
        (Figure("answered 200 or spooled, not on the topic", 0.2468, at_least(0.25), "MB"),),
        ("batches: one request was refused",),
    )
    printed = table(measured)
    assert all(f"{value:.1f}" in printed for value in rounds)
    assert "0.247" in printed
    assert "≥ 0.25 MB" in printed
    assert "MISSED" in printed
    assert "not measured: batches: one request was refused" in printed
    assert max(map(len, printed.splitlines())) <= 100
