"""The limiter and the circuit breaker of one key at one model."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzer.analysis.gemini.calls import FailureKind
from services.analyzer.analysis.gemini.limits import MAX_DOUBLED_SECONDS, MINUTE, KeyBreaker


def failed_gate(now: float = 0, times: int = 1, fault: FailureKind = FailureKind.EXHAUSTED) -> KeyBreaker:
    gate = KeyBreaker(100)
    for _ in range(times):
        gate.enter(now)
    for _ in range(times):
        gate.failed(now, fault)
    return gate


@given(st.integers(1, 5), st.lists(st.floats(0, 40), max_size=60))
def test_no_minute_ever_sees_more_calls_than_allowed(allowed: int, pauses: list[float]) -> None:
    gate, now, calls = KeyBreaker(allowed), 0.0, list[float]()
    for pause in pauses:
        now += pause
        if not gate.opens_in(now):
            gate.enter(now)
            gate.answered(now)
            calls.append(now)
    assert all(later - earlier >= MINUTE for earlier, later in zip(calls, calls[allowed:], strict=False))


def test_within_the_limit_nothing_is_held_up() -> None:
    gate = KeyBreaker(3)
    for _ in range(3):
        assert gate.opens_in(7) == 0
        gate.enter(7)
        gate.answered(7)
    assert gate.opens_in(17) == MINUTE - 10


def test_a_failure_or_two_of_the_network_open_nothing_and_a_third_in_a_row_does() -> None:
    assert failed_gate(times=2, fault=FailureKind.FAILED).opens_in(0) == 0
    assert failed_gate(times=3, fault=FailureKind.FAILED).opens_in(0) == 5
    gate = failed_gate(times=2, fault=FailureKind.FAILED)
    gate.answered(0)
    gate.failed(0, FailureKind.FAILED)
    assert gate.opens_in(0) == 0, "not in a row"


def test_a_hint_is_obeyed_from_whatever_fault_it_comes() -> None:
    gate = KeyBreaker(100)
    gate.enter(0)
    gate.failed(0, FailureKind.FAILED, 30)
    assert gate.opens_in(0) == 30


def test_after_the_rest_one_call_goes_first_and_the_others_wait_for_what_it_says() -> None:
    gate = failed_gate()
    assert gate.opens_in(60) == 0
    gate.enter(60)
    assert gate.opens_in(60) == math.inf
    gate.answered(61)
    gate.enter(61)
    assert gate.opens_in(61) == 0


def test_a_first_call_that_was_given_up_lets_another_go_first() -> None:
    gate = failed_gate()
    gate.enter(60)
    gate.left()
    assert gate.opens_in(60) == 0


@pytest.mark.parametrize("fault", [FailureKind.EXHAUSTED, FailureKind.FAILED])
def test_each_rest_in_vain_is_twice_as_long_up_to_a_limit(fault: FailureKind) -> None:
    gate, now, rests = failed_gate(times=3, fault=fault), 0.0, list[float]()
    for _ in range(10):
        rests.append(gate.opens_in(now))
        now += rests[-1]
        gate.enter(now)
        gate.failed(now, fault)
    assert all(later == min(2 * earlier, MAX_DOUBLED_SECONDS) for earlier, later in itertools.pairwise(rests))
    assert rests[-1] == MAX_DOUBLED_SECONDS


def test_once_it_answers_the_next_rest_is_a_first_one_again() -> None:
    gate = failed_gate()
    gate.enter(60)
    gate.failed(60, FailureKind.EXHAUSTED)
    gate.enter(180)
    gate.answered(180)
    gate.enter(200)
    gate.failed(200, FailureKind.EXHAUSTED)
    assert gate.opens_in(200) == 60


def test_many_calls_that_fail_together_make_one_rest() -> None:
    assert failed_gate(times=64).opens_in(0) == 60


def test_an_answer_to_a_call_from_before_the_rest_does_not_end_the_rest() -> None:
    gate = KeyBreaker(100)
    gate.enter(0)
    gate.enter(0)
    gate.failed(1, FailureKind.EXHAUSTED, 30)
    gate.answered(2)
    assert gate.opens_in(2) == 29
    gate.enter(31)
    assert gate.opens_in(31) == math.inf, "one call goes first"


def test_of_several_hints_the_longest_counts() -> None:
    gate = KeyBreaker(100)
    gate.enter(0)
    gate.enter(0)
    gate.failed(1, FailureKind.EXHAUSTED, 30)
    gate.failed(1, FailureKind.EXHAUSTED, 40)
    assert gate.opens_in(1) == 40
