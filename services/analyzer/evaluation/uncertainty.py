"""How much a measure would vary with other conversations: 95 % intervals. Pure and repeatable.

A share has Wilson's interval, which holds for few cases and for shares near 0 and 1. Every other measure has the middle
95 % of its values over resampled conversations (bootstrap, fixed seed). Conversations count as independent, so for a
file of few authors the true interval is a little wider.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.analyzer.evaluation.measures import MEASURES, LabelledVerdict, Measure

RESAMPLES = 200
SEED = 1
NORMAL_95 = 1.96
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure over `cases` verdicts, with its interval where it has one."""

    value: float | None
    cases: int
    interval: Interval | None


def figures(judged: Sequence[LabelledVerdict]) -> dict[str, Figure]:
    """Return every measure by name."""
    return {name: _figure(measure, measure.counted(judged)) for name, measure in MEASURES.items()}


def difference(measure: Measure, first: Sequence[LabelledVerdict], second: Sequence[LabelledVerdict]) -> Figure:
    """Return second minus first. Both are verdicts on the same conversations, in the same order."""

    def gap(places: Sequence[int]) -> float | None:
        before, after = (measure.of([side[place] for place in places]) for side in (first, second))
        return None if before is None or after is None else after - before

    if len(first) != len(second):
        raise ValueError("the verdicts are not on the same conversations")
    return Figure(gap(range(len(first))), len(first), bootstrap(gap, len(first)))


def wilson(hits: int, cases: int) -> Interval:
    """Return Wilson's score interval of a share. `cases` is at least 1."""
    z2 = NORMAL_95**2
    centre = hits + z2 / 2
    spread = NORMAL_95 * (hits * (cases - hits) / cases + z2 / 4) ** 0.5
    return max(0.0, (centre - spread) / (cases + z2)), min(1.0, (centre + spread) / (cases + z2))


def bootstrap(value: Callable[[Sequence[int]], float | None], cases: int) -> Interval | None:
    """Return the interval of `value` over resampled indexes 0 to cases - 1. None if it is never defined."""
    draw = random.Random(SEED)  # noqa: S311 - no secret
    drawn = (value(draw.choices(range(cases), k=cases)) for _ in range(RESAMPLES if cases else 0))
    values = sorted(each for each in drawn if each is not None)
    cut = len(values) // 40
    return (values[cut], values[-1 - cut]) if values else None


def _figure(measure: Measure, counted: Sequence[LabelledVerdict]) -> Figure:
    value, cases = measure.value(counted), len(counted)
    if value is None:
        return Figure(None, cases, None)
    if measure.is_share:
        return Figure(value, cases, wilson(round(value * cases), cases))
    if measure is MEASURES["scores"]:  # resampled conversations repeat, so they have fewer different scores
        return Figure(value, cases, None)
    return Figure(value, cases, bootstrap(lambda places: measure.value([counted[place] for place in places]), cases))
