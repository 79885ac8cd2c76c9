"""Formats of names, times and durations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.console.view.formats import ago, duration, initials
from tests.unit.console.rows import NOON


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Maria Santos", "MS"), ("maria de la cruz", "MC"), ("マリア", "マ"), ("<b>", "B"), ("🎉 🎉", "?"), ("", "?")],
)
def test_initials_are_letters(name: str, shown: str) -> None:
    assert initials(name) == shown


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "just now"), (300, "5 min ago"), (7200, "2 h ago"), (200_000, "2 d ago")]
)
def test_times_read_as_people_say_them(seconds: int, words: str) -> None:
    assert ago(NOON - timedelta(seconds=seconds), NOON) == words


def test_long_ago_is_a_date() -> None:
    assert ago(NOON - timedelta(days=30), NOON) == "25 Oct"
    assert ago(NOON - timedelta(days=400), NOON) == "20 Oct 2025"
    assert ago(None, NOON) == "never"


@pytest.mark.parametrize(("seconds", "words"), [(4.4, "4 s"), (200, "3 min 20 s"), (3900, "1 h 5 min"), (120, "2 min")])
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
