"""The transitions of one budget, with times set by the test."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from shared.domain.budgets import (
    UNKNOWN_BUDGET,
    Budget,
    UsageReport,
    apply_report,
    reserve_slot,
    spacing_seconds,
    start_probe,
)

REFUSED = UsageReport(is_refused=True)
WELL = UsageReport()


def test_spacing_starts_at_75_percent_and_grows() -> None:
    assert [spacing_seconds(usage) for usage in (0, 0.5, 0.74)] == [0, 0, 0]
    assert [round(spacing_seconds(usage), 3) for usage in (0.75, 0.85, 0.95, 3.0)] == [0.1, 1, 10, 10]


def test_a_refusal_shuts_the_budget_for_the_stated_time() -> None:
    budget = apply_report(UNKNOWN_BUDGET, UsageReport(is_refused=True, regain_seconds=300), now=10)
    assert (budget.is_shut, budget.shut_until, budget.pressure) == (True, 310, 1.0)


@pytest.mark.parametrize(
    "report", [REFUSED, UsageReport(usage=0.95), UsageReport(usage=1.4), UsageReport(regain_seconds=60)]
)
def test_a_refusal_95_percent_or_a_regain_time_shuts_the_budget(report: UsageReport) -> None:
    assert apply_report(UNKNOWN_BUDGET, report, now=0).shut_until == 60


def test_an_empty_report_changes_nothing() -> None:
    budget = Budget(usage=0.8)
    assert apply_report(budget, UsageReport(usage=None), now=0) == budget


def test_refusals_of_concurrent_calls_add_up_to_the_longest_wait() -> None:
    budget = apply_report(apply_report(UNKNOWN_BUDGET, REFUSED, now=0), REFUSED, now=1)
    assert (budget.refusals, budget.shut_until) == (1, 60)
    budget = apply_report(budget, UsageReport(is_refused=True, regain_seconds=90), now=2)
    assert (budget.refusals, budget.shut_until) == (1, 92)


def test_a_success_of_a_call_started_before_does_not_open_the_budget() -> None:
    budget = apply_report(UNKNOWN_BUDGET, REFUSED, now=0)
    assert apply_report(budget, WELL, now=1) == budget
    assert apply_report(budget, WELL, now=61) == budget


def test_one_probe_after_the_wait_opens_the_budget() -> None:
    shut = apply_report(UNKNOWN_BUDGET, REFUSED, now=0)
    assert start_probe(shut, now=59.9) == shut
    probed = start_probe(shut, now=60)
    assert probed.is_probed
    assert start_probe(probed, now=61) == probed
    assert apply_report(probed, WELL, now=61) == UNKNOWN_BUDGET


def test_each_refused_probe_doubles_the_wait_up_to_an_hour() -> None:
    budget, now, waits = UNKNOWN_BUDGET, 0.0, list[float]()
    for _ in range(1100):
        budget = apply_report(start_probe(budget, now), REFUSED, now)
        waits.append(budget.shut_until - now)
        now = budget.shut_until
    assert waits[:7] == [60, 120, 240, 480, 960, 1920, 3600]
    assert set(waits[7:]) == {3600}


def test_a_probe_that_reports_95_percent_counts_as_refused() -> None:
    shut = apply_report(UNKNOWN_BUDGET, UsageReport(usage=0.96), now=0)
    budget = apply_report(start_probe(shut, 60), UsageReport(usage=0.95), now=60)
    assert budget.shut_until == 180
    assert apply_report(start_probe(budget, 180), UsageReport(usage=0.8), now=180) == Budget(usage=0.8)


def test_an_unanswered_probe_is_repeated_at_once_and_a_lost_one_after_a_minute() -> None:
    probed = start_probe(apply_report(UNKNOWN_BUDGET, REFUSED, now=0), now=60)
    unanswered = apply_report(probed, UsageReport(is_answer=False), now=65)
    assert unanswered.is_shut
    assert start_probe(unanswered, now=65).is_probed
    assert start_probe(probed, now=119) == probed
    assert start_probe(probed, now=120) == replace(probed, shut_until=180)


def test_slots_keep_their_spacing_under_concurrent_requests() -> None:
    budget, slots = UNKNOWN_BUDGET, list[float]()
    for now in (100.0, 100.0, 100.0, 100.1, 109.0, 109.1):
        budget = reserve_slot(budget, now, 0.5)
        slots.append(budget.last_slot)
    assert slots == [100, 100.5, 101, 101.5, 109, 109.5]


def test_slots_are_farther_apart_at_high_usage() -> None:
    first = reserve_slot(Budget(usage=0.85), 100, 0.5)
    assert reserve_slot(first, 100, 0.5).last_slot == pytest.approx(101)


def test_slots_keep_their_spacing_with_a_hundred_runs_at_high_usage() -> None:
    budget, slots = Budget(usage=0.94), list[float]()
    for _ in range(100):
        budget = reserve_slot(budget, 100, 0.0)
        slots.append(budget.last_slot)
    apart = [apply_report - before for before, apply_report in pairwise(slots)]
    assert apart == pytest.approx([spacing_seconds(0.94)] * 99)


def test_a_clock_set_back_does_not_block_all_calls() -> None:
    before = reserve_slot(UNKNOWN_BUDGET, 10_000, 0.5)
    assert reserve_slot(before, 100, 0.5).last_slot == 100.5
