"""What is said in words on a page."""

from __future__ import annotations

import pytest

from services.console.view.formats import REASON_WORDS, duration, sentence
from shared.contract.failures import Reason


def test_every_reason_of_a_dead_letter_is_explained() -> None:
    assert set(REASON_WORDS) == set(Reason)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("token expired", "Token expired."), ("Paused!", "Paused!"), ("", ""), ("ęgo", "Ęgo.")],
)
def test_a_reason_stands_alone_as_a_sentence(reason: str, shown: str) -> None:
    assert sentence(reason) == shown


def test_what_took_less_than_a_second_is_not_said_to_have_taken_none() -> None:
    assert (duration(0.4), duration(0.6)) == ("under 1 s", "1 s")
