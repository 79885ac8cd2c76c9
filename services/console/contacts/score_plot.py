"""A small plot of a contact's score over its analyses. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contract.contacts import Score

WIDTH, HEIGHT, MARGIN = 320, 72, 6


@dataclass(frozen=True, slots=True)
class PlotPoint:
    x: float
    y: float
    score: Score


@dataclass(frozen=True, slots=True)
class ScorePlot:
    points: tuple[PlotPoint, ...]
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def line(self) -> str:
        """The points of an SVG polyline."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)

    @property
    def description(self) -> str:
        """Describes the plot in words, also for screen readers."""
        first, last = self.points[0].score, self.points[-1].score
        return f"Score over {len(self.points)} analyses, from {first.score} to {last.score}"


def score_plot(scores: Sequence[Score]) -> ScorePlot | None:
    """Return the plot, or None for fewer than two scores."""
    if len(scores) < 2:
        return None
    step = (WIDTH - 2 * MARGIN) / (len(scores) - 1)
    return ScorePlot(
        tuple(PlotPoint(round(MARGIN + step * i, 1), height_of(each.score), each) for i, each in enumerate(scores))
    )


def height_of(score: int) -> float:
    """Return the distance of a score from the top, as SVG measures it."""
    return round(MARGIN + (HEIGHT - 2 * MARGIN) * (1 - score / 100), 1)
