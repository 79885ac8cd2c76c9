"""The login throttle."""

from __future__ import annotations

import pytest

from services.console.auth.login_throttle import MAX_FAILURES, MAX_FAILURES_OF_ALL, WINDOW_SECONDS, LoginThrottle

NOW = 1_800_000_000.0


def test_an_address_that_failed_too_often_waits_and_others_do_not() -> None:
    throttle = LoginThrottle()
    for _ in range(MAX_FAILURES):
        assert throttle.wait_seconds("a", NOW) == 0
        throttle.failed("a", NOW)
    assert throttle.wait_seconds("a", NOW + 1) == pytest.approx(WINDOW_SECONDS - 1)
    assert throttle.wait_seconds("b", NOW + 1) == 0
    assert throttle.wait_seconds("a", NOW + WINDOW_SECONDS) == 0


def test_under_attack_each_address_has_one_attempt_and_none_locks_out_another() -> None:
    throttle = LoginThrottle()
    for number in range(MAX_FAILURES_OF_ALL):
        throttle.failed(str(number), NOW)
    assert throttle.wait_seconds("0", NOW) > 0
    assert throttle.wait_seconds("new", NOW) == 0
    assert throttle.wait_seconds("0", NOW + WINDOW_SECONDS) == 0


def test_all_addresses_of_an_ipv6_network_count_as_one() -> None:
    throttle = LoginThrottle()
    for number in range(MAX_FAILURES):
        throttle.failed(f"2001:db8:1:2::{number}", NOW)
    assert throttle.wait_seconds("2001:db8:1:2:ffff::1", NOW) > 0
    assert throttle.wait_seconds("2001:db8:1:3::1", NOW) == 0


def test_a_success_resets_the_failures_of_its_address() -> None:
    throttle = LoginThrottle()
    for _ in range(MAX_FAILURES):
        throttle.failed("a", NOW)
    throttle.succeeded("a")
    assert throttle.wait_seconds("a", NOW) == 0
