"""Rate limits with a clock that the test controls."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from services.simulator.corpus import SimulatedAccount
from services.simulator.errors import RefusedError
from services.simulator.rate_limits import RateLimits
from shared.contract.ids import Platform

PAGE = SimulatedAccount(Platform.MESSENGER, "1", "1", "Page", "page", "token")
INSTAGRAM = SimulatedAccount(Platform.INSTAGRAM, "1784", "1", "Page", "page", "token")


@dataclass
class Clock:
    now: float = 0

    def __call__(self) -> float:
        return self.now


def is_admitted(limits: RateLimits, account: SimulatedAccount) -> bool:
    limits.arrive(account)
    try:
        limits.admit(account)
    except RefusedError:
        return False
    return True


def test_instagram_is_limited_to_two_calls_a_second_and_a_page_is_not() -> None:
    clock = Clock()
    limits = RateLimits(monotonic=clock)
    admitted = 0
    for _ in range(1000):
        admitted += is_admitted(limits, INSTAGRAM)
        clock.now += 0.05
    assert 100 <= admitted <= 103
    assert all(is_admitted(limits, PAGE) for _ in range(1000))


def test_a_client_that_spaces_its_calls_by_half_a_second_is_never_refused() -> None:
    clock = Clock()
    limits = RateLimits(monotonic=clock)
    for _ in range(100):
        assert is_admitted(limits, INSTAGRAM)
        clock.now += 0.5
    assert (limits.throttled, limits.while_throttled) == (0, 0)


def test_calls_beyond_the_budget_are_refused_and_lengthen_the_block() -> None:
    clock = Clock()
    limits = RateLimits(budget_calls=3, budget_seconds=60, monotonic=clock)
    assert [is_admitted(limits, PAGE) for _ in range(4)] == [True, True, True, False]
    assert (limits.throttled, limits.while_throttled) == (1, 0)
    clock.now = 30
    assert not is_admitted(limits, PAGE)
    assert limits.while_throttled == 1
    clock.now = 61
    assert [is_admitted(limits, PAGE) for _ in range(3)] == [True, True, False]
    assert is_admitted(limits, INSTAGRAM)


def test_waiting_as_long_as_the_headers_announce_is_enough() -> None:
    clock = Clock()
    limits = RateLimits(budget_calls=2, budget_seconds=90, monotonic=clock)
    assert [is_admitted(limits, PAGE) for _ in range(3)] == [True, True, False]
    (entry,) = json.loads(limits.headers(PAGE)["x-business-use-case-usage"])["1"]
    assert (entry["type"], entry["call_count"], entry["estimated_time_to_regain_access"]) == ("messenger", 100, 2)
    clock.now = 120
    assert is_admitted(limits, PAGE)
    assert limits.while_throttled == 0


@pytest.mark.parametrize(("calls", "percent"), [(0, 0), (5, 50), (10, 99)])
def test_the_headers_report_usage_for_instagram_under_two_ids(calls: int, percent: int) -> None:
    limits = RateLimits(instagram_per_second=0, budget_calls=10, monotonic=Clock())
    assert all(is_admitted(limits, INSTAGRAM) for _ in range(calls))
    business = json.loads(limits.headers(INSTAGRAM)["x-business-use-case-usage"])
    assert {entry["call_count"] for entries in business.values() for entry in entries} == {percent}
    assert business.keys() == {"1", "1784"}
    assert {entry["type"] for entries in business.values() for entry in entries} == {"instagram"}


def test_the_apps_budget_is_shared_by_all_accounts() -> None:
    clock = Clock()
    limits = RateLimits(instagram_per_second=0, app_budget_calls=4, budget_seconds=60, monotonic=clock)
    assert [is_admitted(limits, account) for account in (PAGE, INSTAGRAM, PAGE)] == [True] * 3
    assert [json.loads(limits.headers(each)["x-app-usage"])["call_count"] for each in (PAGE, INSTAGRAM)] == [75, 75]
    assert [is_admitted(limits, account) for account in (PAGE, INSTAGRAM)] == [True, False]
    assert [json.loads(limits.headers(each)["x-app-usage"])["call_count"] for each in (PAGE, INSTAGRAM)] == [100, 100]
    clock.now = 60
    assert is_admitted(limits, PAGE)


def test_a_call_while_throttled_lengthens_the_block() -> None:
    clock = Clock()
    limits = RateLimits(monotonic=clock)
    limits.block(PAGE, 10)
    clock.now = 9
    assert is_admitted(limits, PAGE)
    clock.now = 18
    assert is_admitted(limits, PAGE)
    assert limits.while_throttled == 2
    clock.now = 28
    assert is_admitted(limits, PAGE)
    assert limits.while_throttled == 2


def test_the_third_instagram_call_within_a_second_is_counted() -> None:
    clock = Clock()
    limits = RateLimits(instagram_per_second=0, monotonic=clock)
    for clock.now in (0, 0.5, 1.0, 1.4, 1.9, 2.0, 3.0, 3.0, 3.0):
        limits.arrive(INSTAGRAM)
        limits.arrive(PAGE)
    assert limits.crowded == 4
    assert limits.stats == {"throttled": 0, "while_throttled": 0, "crowded": 4}
