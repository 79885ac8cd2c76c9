"""A pipeline's stages as columns of cards. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.console.index.contact_index import ContactIndex, Row
from shared.contract.contacts import StageType
from shared.domain.pipelines import Pipeline

MAX_CARDS = 50
"""Shown in a column; the list has the rest."""


@dataclass(frozen=True, slots=True)
class Column:
    """`rows` are the best of all that are in it, by score; `points` is the sum of all their scores."""

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
    """In the order of the stages. A stage that the pipeline does not have any more comes last, while it has someone."""
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
