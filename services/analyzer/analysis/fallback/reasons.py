"""Find what weighed most in a verdict, and the lines that made it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.analyzer.analysis.fallback.features import Features
from services.analyzer.analysis.fallback.model import subject_of

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
    """`contributions` are by subject."""
    weighty = {subject: weight for subject, weight in contributions.items() if abs(weight) >= MIN_WEIGHT}
    ranked = sorted(weighty, key=lambda subject: (-abs(weighty[subject]), subject))
    for_it = [subject for subject in ranked if weighty[subject] > 0][:MAX_REASONS]
    against = [subject for subject in ranked if weighty[subject] < 0][: MAX_REASONS // 2]
    lines: dict[str, set[int]] = {subject: set() for subject in for_it + against}
    for name, indexes in features.lines.items():
        subject = subject_of(name)
        if subject in lines:
            lines[subject].update(indexes)

    def reasons(subjects: Sequence[str]) -> tuple[Reason, ...]:
        newest = {subject: sorted(lines[subject], reverse=True)[:MAX_EVIDENCE] for subject in subjects}
        return tuple(Reason(subject, weighty[subject], tuple(newest[subject])) for subject in subjects)

    supporting = reasons(for_it)
    deciding = dict.fromkeys(line for reason in supporting for line in reason.lines)
    return Reasons(supporting, reasons(against), tuple(deciding)[:MAX_EVIDENCE])
