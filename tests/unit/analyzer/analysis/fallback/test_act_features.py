"""The features of acts: their order, the newest ones, and the silence after them."""

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
    ("names", "before", "after"),
    [
        (("commit", "refuse"), 1.0, 0.0),
        (("refuse", "ask", "commit"), 0.0, 1.0),
        (("commit",), 0.0, 0.0),
        (("refuse", "commit", "postpone"), 1.0, 1.0),
    ],
)
def test_the_order_of_acts_counts(names: tuple[str, ...], before: float, after: float) -> None:
    features = act_features(acts(*names), 0, 0.0)
    assert (features["order:buying before leaving"], features["order:leaving before buying"]) == (before, after)


def test_small_talk_does_not_hide_what_was_said_before() -> None:
    features = act_features(acts("ask", "commit", "chat"), 0, 0.0)
    assert (features["newest:chat"], features["newest:commit"]) == (1.0, 0.0)
    assert features["last but chat:commit"] == pytest.approx(1.0)
    assert features["last but chat:ask"] == 0.0


def test_silence_counts_where_the_business_waits() -> None:
    answered, waiting = (act_features(acts("ask"), unanswered, 47.0) for unanswered in (0, 1))
    assert answered["silent:ask"] == answered["unanswered:ask"] == 0.0
    assert waiting["silent:ask"] == pytest.approx(np.log(48), rel=1e-5)
    assert waiting["unanswered:ask"] == 1.0


def test_newer_acts_weigh_more() -> None:
    features = act_features(acts("refuse", "commit"), 0, 0.0)
    assert features["recent:commit"] > features["recent:refuse"] > 0
