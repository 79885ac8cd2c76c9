"""Whether a trained model is better, although people set what is wrong."""

from __future__ import annotations

import pytest

from services.analyzer.evaluation.held_back import FOLDS, MAX_SHARE, agreeing_share, compare, folds

CUSTOMERS = [f"messenger:1:{number}" for number in range(100)]


def first(number: int) -> list[bool]:
    """Return that a model agrees with the first labels alone."""
    return [place < number for place in range(len(CUSTOMERS))]


def test_all_labels_of_a_customer_are_held_back_together_whatever_the_order() -> None:
    twice = CUSTOMERS * 2
    found = folds(twice)
    groups = [{twice[place] for place in places} for places in found]
    assert sorted(place for places in found for place in places) == list(range(200))
    assert [len(group) for group in groups] == [20] * FOLDS
    assert len(set.union(*groups)) == 100
    reordered = [{twice[::-1][place] for place in places} for places in folds(twice[::-1])]
    assert reordered == groups


@pytest.mark.parametrize(
    ("agrees", "confidence", "share"),
    [
        (first(50), 0.8, 4.0),
        (first(80), 0.8, 1.0),
        (first(95), 0.8, 1.0),
        (first(5), 0.8, MAX_SHARE),
        (first(0), 0.8, MAX_SHARE),
        (first(50), 1.0, MAX_SHARE),
    ],
)
def test_labels_that_agree_count_until_they_are_as_many_as_expected(
    agrees: list[bool], confidence: float, share: float
) -> None:
    assert agreeing_share(agrees, [confidence] * 100) == pytest.approx(share)


def test_a_gain_is_better_and_a_loss_is_worse() -> None:
    better, worse = compare(CUSTOMERS, first(50), first(80), 1.0), compare(CUSTOMERS, first(80), first(50), 1.0)
    assert better.gain.value == pytest.approx(0.3)
    assert better.result == "Better: it agrees with 80 % of the held-back labels instead of 50 %."
    assert worse.result.startswith("Worse")


def test_labels_that_agreed_before_weigh_against_a_gain() -> None:
    """30 wrong ones become right and 15 right ones wrong: a gain only where both count alike."""
    trained = [15 <= place < 80 for place in range(100)]
    assert compare(CUSTOMERS, first(50), trained, 1.0).result.startswith("Better")
    assert compare(CUSTOMERS, first(50), trained, 8.0).result.startswith("Worse")


def test_a_small_difference_is_not_told() -> None:
    assert compare(CUSTOMERS, first(50), first(51), 1.0).result.startswith("No difference can be told")


def test_a_gain_on_corrections_alone_says_so() -> None:
    assert compare(CUSTOMERS, first(0), first(60), MAX_SHARE).result.startswith("Better on what people corrected")
