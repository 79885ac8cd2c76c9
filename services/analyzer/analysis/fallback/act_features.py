"""Turn the acts of the customer's lines into numbers: the newest, their order, and the silence after them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
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
ORDER_NAMES = [f"order:{name}" for name, _, _ in ORDERS]
BEFORE = np.array([[act in first for _, first, _ in ORDERS] for act in ACTS], np.float32)
AFTER = np.array([[act in then for _, _, then in ORDERS] for act in ACTS], np.float32)
"""For each act and order, whether the act is one of the order's first acts, or of its others."""
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
    return values | _orders(acts)


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


def _orders(acts: Array) -> dict[str, float]:
    """Return for each order how certain it is that a line with its first acts comes before one with the others."""
    if len(acts) < 2:
        return dict.fromkeys(ORDER_NAMES, 0.0)
    highest_after = np.maximum.accumulate((acts @ AFTER)[::-1])[::-1]
    certain = ((acts @ BEFORE)[:-1] * highest_after[1:]).max(axis=0)
    return dict(zip(ORDER_NAMES, certain.tolist(), strict=True))
