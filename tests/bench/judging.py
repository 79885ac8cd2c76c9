"""Percentiles, comparisons and limits of measured values. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile. ValueError without values."""
    if not values:
        raise ValueError("no values")
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return sorted(values)[rank - 1]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: its name, one value per round, and a note."""

    name: str
    values: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Limit:
    """`≥ bound`, or `≤ bound` if less is better. The bound itself is within the limit."""

    bound: float
    is_upper: bool = False

    def is_kept_by(self, value: float) -> bool:
        return value <= self.bound if self.is_upper else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.is_upper else '≥'} {self.bound:g}"


def at_least(bound: float) -> Limit:
    return Limit(bound)


def at_most(bound: float) -> Limit:
    return Limit(bound, is_upper=True)


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and its limit."""

    name: str
    value: float
    limit: Limit
    unit: str = ""

    @property
    def is_kept(self) -> bool:
        return self.limit.is_kept_by(self.value)


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of measurements. `problems` are the reasons of those that failed."""

    sides: tuple[Side, ...] = ()
    figures: tuple[Figure, ...] = ()
    problems: tuple[str, ...] = ()

    def __add__(self, other: Measured) -> Measured:
        return Measured(self.sides + other.sides, self.figures + other.figures, self.problems + other.problems)

    @property
    def is_kept(self) -> bool:
        return not self.problems and all(figure.is_kept for figure in self.figures)
