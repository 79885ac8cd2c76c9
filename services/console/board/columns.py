"""The columns of a board: a pipeline's stages with their contacts. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.console.index.contact_index import ContactIndex, Row
from shared.contract.contacts import StageType
from shared.domain.pipelines import Pipeline

MAX_CARDS = 50
"""Cards in a column; the list of contacts shows the rest."""


@dataclass(frozen=True, slots=True)
class Column:
    """One stage. `rows` are its contacts with the highest scores; `count` and `points` (sum of scores) cover all."""

    name: str
    kind: StageType | None
    scores: str
    rows: list[Row]
    count: int
    points: int

    @property
    def mean(self) -> int:
        return round(self.points / self.count) if self.count else 0


def columns_of(contact_index: ContactIndex, pipeline: Pipeline, account: str = "") -> list[Column]:
    """Return a column for each stage, then for removed stages that still have contacts."""
    by_stage: dict[str, list[Row]] = {stage.name: [] for stage in pipeline.stages}
    for row in contact_index.ordered("score", descending=True):
        if row.pipeline == pipeline.name and (not account or row.account == account):
            by_stage.setdefault(row.stage, []).append(row)
    return list(_columns(pipeline, by_stage))


def _columns(pipeline: Pipeline, by_stage: dict[str, list[Row]]) -> Iterable[Column]:
    for name, rows in by_stage.items():
        stage = pipeline.stage(name)
        scores = f"{stage.range.low}–{stage.range.high}" if stage and stage.range else ""
        points = sum(row.score for row in rows)
        yield Column(name, stage.type if stage else None, scores, rows[:MAX_CARDS], len(rows), points)
