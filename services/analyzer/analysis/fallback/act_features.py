"""Turn the acts of the customer's lines into numbers: the newest, their order, and the silence after them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log1p

import numpy as np

from services.analyzer.analysis.fallback.wording import ACTS, Array

RECENCY = 0.6
"""In the recent share of an act, a line weighs this much of the next one."""
BUYING, LEAVING, TROUBLE = ("accept", "commit", "pay"), ("refuse", "postpone"), ("complain", "support")
ORDERS = (
    ("buying before leaving", BUYING, LEAVING),
    ("leaving before buying", LEAVING, BUYING),
    ("buying before trouble", BUYING, TROUBLE),
    ("trouble before buying", TROUBLE, BUYING),
    ("asking before buying", ("ask", "need"), BUYING),
    ("agreement before details", ("accept", "commit"), ("detail", "pay")),
    ("haggling before agreement", ("haggle",), ("accept", "commit")),
    ("payment before chat", ("pay",), ("chat",)),
)
CHAT = ACTS.index("chat")


def act_features(acts: Array, unanswered: int, silence_hours: float) -> dict[str, float]:
    """`acts` has a row for each customer's line, at least one. `unanswered` lines of the business follow the last."""
    recent = RECENCY ** np.arange(len(acts) - 1, -1, -1)
    groups: Mapping[str, Array] = {
        "newest": acts[-1],
        "before": acts[-2] if len(acts) > 1 else np.zeros_like(acts[-1]),
        "recent": recent @ acts / recent.sum(),
        "highest": acts.max(axis=0),
        "often": np.log1p(acts.sum(axis=0)),
        "first": acts[0],
        "last but chat": _last_but_chat(acts),
        "unanswered": acts[-1] * (unanswered > 0),
        "silent": acts[-1] * (log1p(silence_hours) if unanswered else 0.0),
    }
    values = {
        f"{group}:{act}": value for group, row in groups.items() for act, value in zip(ACTS, row.tolist(), strict=True)
    }
    return values | {f"order:{name}": _in_order(acts, first, then) for name, first, then in ORDERS}


def _last_but_chat(acts: Array) -> Array:
    """Return the acts of the last line that is not small talk, as far as that is certain."""
    total: Array = np.zeros_like(acts[0])
    left = 1.0
    for row in acts[::-1]:
        total = total + left * (1 - row[CHAT]) * row
        left *= float(row[CHAT])
        if left < 0.01:
            break
    return total


def _in_order(acts: Array, first: Sequence[str], then: Sequence[str]) -> float:
    """Return how certain it is that a line with one of `first` comes before a line with one of `then`."""
    before = acts[:, [ACTS.index(act) for act in first]].sum(axis=1)
    after = acts[:, [ACTS.index(act) for act in then]].sum(axis=1)
    if len(acts) < 2:
        return 0.0
    highest_after = np.maximum.accumulate(after[::-1])[::-1]
    return float((before[:-1] * highest_after[1:]).max())
