"""Find what weighed most in a verdict, and the lines that made it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.analyzer.analysis.fallback.features import Features

MAX_REASONS = 4
MAX_EVIDENCE = 3
MIN_WEIGHT = 0.1
"""In logits: less is noise."""


@dataclass(frozen=True, slots=True)
class Reason:
    """`subject` is the part of a feature's name after the colon, `weight` the sum over its features, in logits."""

    subject: str
    weight: float
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reasons:
    """`for_it` and `against` have the largest weights first; `lines` are those that made the reasons for it."""

    for_it: tuple[Reason, ...]
    against: tuple[Reason, ...]
    lines: tuple[int, ...]


def find_reasons(features: Features, contributions: Mapping[str, float]) -> Reasons:
    weights: dict[str, float] = {}
    lines: dict[str, set[int]] = {}
    for name, weight in contributions.items():
        subject = name.partition(":")[2]
        weights[subject] = weights.get(subject, 0.0) + weight
        lines.setdefault(subject, set()).update(features.lines.get(name, ()))
    ranked = sorted(weights, key=lambda subject: (-abs(weights[subject]), subject))
    reasons = [
        Reason(subject, weights[subject], tuple(sorted(lines[subject], reverse=True)[:MAX_EVIDENCE]))
        for subject in ranked
        if abs(weights[subject]) >= MIN_WEIGHT
    ]
    for_it = tuple(reason for reason in reasons if reason.weight > 0)[:MAX_REASONS]
    against = tuple(reason for reason in reasons if reason.weight < 0)[: MAX_REASONS // 2]
    deciding = dict.fromkeys(line for reason in for_it for line in reason.lines)
    return Reasons(for_it, against, tuple(deciding)[:MAX_EVIDENCE])
