"""The rate limiter and circuit breaker of one key at one model."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzer.analysis.ai.key_breaker import MAX_COOL_DOWN_SECONDS, MINUTE_SECONDS, KeyBreaker
from services.analyzer.analysis.ai.transport import FailureKind


def failed_breaker(now: float = 0, times: int = 1, kind: FailureKind = FailureKind.EXHAUSTED) -> KeyBreaker:
    breaker = KeyBreaker(100)
    for _ in range(times):
        breaker.start_call(now)
    for _ in range(times):
        breaker.record_failure(now, kind)
    return breaker


@given(st.integers(1, 5), st.lists(st.floats(0, 40), max_size=60))
def test_no_minute_has_more_calls_than_allowed(allowed: int, pauses: list[float]) -> None:
    breaker, now, calls = KeyBreaker(allowed), 0.0, list[float]()
    for pause in pauses:
        now += pause
        if not breaker.seconds_until_free(now):
            breaker.start_call(now)
            breaker.record_success(now)
            calls.append(now)
    assert all(later - earlier >= MINUTE_SECONDS for earlier, later in zip(calls, calls[allowed:], strict=False))


def test_calls_within_the_limit_do_not_wait() -> None:
    breaker = KeyBreaker(3)
    for _ in range(3):
        assert breaker.seconds_until_free(7) == 0
        breaker.start_call(7)
        breaker.record_success(7)
    assert breaker.seconds_until_free(17) == MINUTE_SECONDS - 10


def test_the_third_network_failure_in_a_row_opens_the_breaker() -> None:
    assert failed_breaker(times=2, kind=FailureKind.FAILED).seconds_until_free(0) == 0
    assert failed_breaker(times=3, kind=FailureKind.FAILED).seconds_until_free(0) == 5
    breaker = failed_breaker(times=2, kind=FailureKind.FAILED)
    breaker.record_success(0)
    breaker.record_failure(0, FailureKind.FAILED)
    assert breaker.seconds_until_free(0) == 0, "not in a row"


def test_a_servers_hint_is_obeyed_for_every_kind_of_failure() -> None:
    breaker = KeyBreaker(100)
    breaker.start_call(0)
    breaker.record_failure(0, FailureKind.FAILED, 30)
    assert breaker.seconds_until_free(0) == 30


def test_one_call_probes_after_the_cool_down() -> None:
    breaker = failed_breaker()
    assert breaker.seconds_until_free(60) == 0
    breaker.start_call(60)
    assert breaker.seconds_until_free(60) == math.inf
    breaker.record_success(61)
    breaker.start_call(61)
    assert breaker.seconds_until_free(61) == 0


def test_another_call_probes_after_a_cancelled_probe() -> None:
    breaker = failed_breaker()
    breaker.start_call(60)
    breaker.record_abandoned()
    assert breaker.seconds_until_free(60) == 0


@pytest.mark.parametrize("kind", [FailureKind.EXHAUSTED, FailureKind.FAILED])
def test_each_failed_probe_doubles_the_cool_down_up_to_a_limit(kind: FailureKind) -> None:
    breaker, now, rests = failed_breaker(times=3, kind=kind), 0.0, list[float]()
    for _ in range(10):
        rests.append(breaker.seconds_until_free(now))
        now += rests[-1]
        breaker.start_call(now)
        breaker.record_failure(now, kind)
    assert all(later == min(2 * earlier, MAX_COOL_DOWN_SECONDS) for earlier, later in itertools.pairwise(rests))
    assert rests[-1] == MAX_COOL_DOWN_SECONDS


def test_a_success_resets_the_cool_down() -> None:
    breaker = failed_breaker()
    breaker.start_call(60)
    breaker.record_failure(60, FailureKind.EXHAUSTED)
    breaker.start_call(180)
    breaker.record_success(180)
    breaker.start_call(200)
    breaker.record_failure(200, FailureKind.EXHAUSTED)
    assert breaker.seconds_until_free(200) == 60


def test_parallel_failures_make_one_cool_down() -> None:
    assert failed_breaker(times=64).seconds_until_free(0) == 60


def test_a_success_of_an_earlier_call_does_not_end_the_cool_down() -> None:
    breaker = KeyBreaker(100)
    breaker.start_call(0)
    breaker.start_call(0)
    breaker.record_failure(1, FailureKind.EXHAUSTED, 30)
    breaker.record_success(2)
    assert breaker.seconds_until_free(2) == 29
    breaker.start_call(31)
    assert breaker.seconds_until_free(31) == math.inf, "one call probes"


def test_the_longest_of_several_hints_counts() -> None:
    breaker = KeyBreaker(100)
    breaker.start_call(0)
    breaker.start_call(0)
    breaker.record_failure(1, FailureKind.EXHAUSTED, 30)
    breaker.record_failure(1, FailureKind.EXHAUSTED, 40)
    assert breaker.seconds_until_free(1) == 40
