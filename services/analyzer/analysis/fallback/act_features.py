"""Turn the acts of the customer's lines into numbers: the newest, what still stands, and the silence after. Pure."""

from __future__ import annotations

from math import log1p

import numpy as np

from services.analyzer.analysis.fallback.wording import ACTS, Array

RECENCY = 0.6
"""In the recent share of an act, a line weighs this much of the next one."""
BUYING, LEAVING, TROUBLE = ("accept", "commit", "pay"), ("refuse", "postpone"), ("complain", "support")
STANDING = (
    ("buying", BUYING, LEAVING),
    ("commit", ("commit", "pay"), LEAVING),
    ("pay", ("pay",), LEAVING),
    ("leaving", LEAVING, BUYING),
    ("refuse", ("refuse",), BUYING),
    ("trouble", TROUBLE, BUYING),
)
"""What stands once the customer has said one of the first acts, until one of the others revokes it."""
SAYS = np.array([[act in says for _, says, _ in STANDING] for act in ACTS], np.float32)
REVOKES = np.array([[act in revokes for _, _, revokes in STANDING] for act in ACTS], np.float32)
STANDING_NAMES = [f"standing:{name}" for name, _, _ in STANDING]
OPEN_NAMES = {f"open:{name}": f"standing:{name}" for name in ("buying", "commit")}
"""What stands while the customer has not written after the business."""
GROUPS = ("newest", "recent", "highest", "often", "silent")
ACT_NAMES = [f"{group}:{act}" for group in GROUPS for act in ACTS]


def act_features(acts: Array, unanswered: int, silence_hours: float) -> dict[str, float]:
    """`acts` has a row for each customer's line, at least one. `unanswered` lines of the business follow the last."""
    recent = RECENCY ** np.arange(len(acts) - 1, -1, -1, dtype=np.float32)
    silence = log1p(silence_hours) if unanswered else 0.0
    groups = [acts[-1], recent @ acts / recent.sum(), acts.max(axis=0), np.log1p(acts.sum(axis=0)), acts[-1] * silence]
    standing = _standing(acts)
    values = dict(zip(ACT_NAMES, np.concatenate(groups).tolist(), strict=True))
    opened = {name: standing[of] if unanswered else 0.0 for name, of in OPEN_NAMES.items()}
    return values | standing | opened


def _standing(acts: Array) -> dict[str, float]:
    """Return how certain it is that something was said and that no later line revokes it."""
    said, kept = np.minimum(acts @ SAYS, 1.0), 1.0 - np.minimum(acts @ REVOKES, 1.0)
    kept_after = np.ones_like(kept)
    kept_after[:-1] = np.cumprod(kept[:0:-1], axis=0)[::-1]
    return dict(zip(STANDING_NAMES, (said * kept_after).max(axis=0).tolist(), strict=True))
