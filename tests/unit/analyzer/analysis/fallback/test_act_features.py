"""The features of acts: what still stands, the newest ones, and the silence after them."""

from __future__ import annotations

import numpy as np
import pytest

from services.analyzer.analysis.fallback.act_features import act_features
from services.analyzer.analysis.fallback.wording import ACTS, Array


def acts(*names: str) -> Array:
    """Return lines of which each is certainly one act."""
    rows = np.zeros((len(names), len(ACTS)), np.float32)
    for row, name in enumerate(names):
        rows[row, ACTS.index(name)] = 1.0
    return rows


@pytest.mark.parametrize(
    ("names", "buying", "leaving"),
    [
        (("commit",), 1.0, 0.0),
        (("commit", "refuse"), 0.0, 1.0),
        (("refuse", "ask", "commit"), 1.0, 0.0),
        (("commit", "chat", "ask"), 1.0, 0.0),
        (("refuse", "commit", "postpone"), 0.0, 1.0),
    ],
)
def test_what_was_said_stands_until_it_is_revoked(names: tuple[str, ...], buying: float, leaving: float) -> None:
    features = act_features(acts(*names), 0, 0.0)
    assert (features["standing:buying"], features["standing:leaving"]) == (buying, leaving)


def test_what_half_revokes_leaves_a_half() -> None:
    rows = acts("commit", "refuse")
    rows[1] /= 2
    assert act_features(rows, 0, 0.0)["standing:commit"] == pytest.approx(0.5)


def test_what_stands_is_open_until_the_customer_answers() -> None:
    answered, waiting = (act_features(acts("commit"), unanswered, 0.0) for unanswered in (0, 2))
    assert (answered["open:commit"], waiting["open:commit"]) == (0.0, 1.0)


def test_silence_counts_where_the_business_waits() -> None:
    answered, waiting = (act_features(acts("ask"), unanswered, 47.0) for unanswered in (0, 1))
    assert answered["silent:ask"] == 0.0
    assert waiting["silent:ask"] == pytest.approx(np.log(48), rel=1e-5)


def test_newer_acts_weigh_more() -> None:
    features = act_features(acts("refuse", "commit"), 0, 0.0)
    assert features["recent:commit"] > features["recent:refuse"] > 0
