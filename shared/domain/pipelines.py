"""Pipelines, their stages and the score range of each stage. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.contract.contacts import StageType
from shared.contract.ids import content_hash

RECOMMENDATION_REACH = 10
"""How many points outside a recommended stage's range a score may be."""
BACKWARD_MARGIN = 10
"""How many points below its stage's range an AI score must be to move a contact backward."""
REOPEN_CONFIDENCE = 70
"""The confidence an analysis needs to move a contact out of WON or LOST."""


OPEN_TYPES = (StageType.LEAD, StageType.IN_PROGRESS)
_BANDS = {StageType.LEAD: (1, 30), StageType.IN_PROGRESS: (31, 80), StageType.WON: (81, 100)}


class Mode(StrEnum):
    """Whether an analysis may change the stage of a contact that has one."""

    SKIP_EXISTING = "SKIP_EXISTING"
    UPDATE_EXISTING = "UPDATE_EXISTING"


class ScoreRange(BaseModel):
    """Whole scores, both ends included."""

    model_config = ConfigDict(frozen=True)
    low: int = Field(ge=1, le=100)
    high: int = Field(ge=1, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"a range needs low <= high, not {self.low}-{self.high}")
        return self

    def __str__(self) -> str:
        return f"{self.low}–{self.high}"

    def __contains__(self, score: int) -> bool:
        return self.low <= score <= self.high

    def distance(self, score: int) -> int:
        """Return how many points `score` is outside the range; 0 inside."""
        return max(self.low - score, score - self.high, 0)


class Stage(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str = Field(min_length=1)
    type: StageType
    range: ScoreRange | None = Field(default=None, description="none for LOST and ARCHIVED")
    range_edited: bool = Field(default=False, description="set by a person: never recomputed")


class Pipeline(BaseModel):
    """`name` is its id; stages stand in the order of the board."""

    model_config = ConfigDict(frozen=True)
    name: str = Field(min_length=1)
    stages: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique_names(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError("two stages of a pipeline have the same name")
        return self

    def stage(self, name: str | None) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None)

    def first(self, stage_type: StageType) -> Stage | None:
        return next((stage for stage in self.stages if stage.type is stage_type), None)

    @property
    def edition(self) -> str:
        """A hash of the content: an editor sends it back to show which version they have seen."""
        return content_hash(self.model_dump(mode="json"))

    @property
    def open_stages(self) -> tuple[Stage, ...]:
        return tuple(stage for stage in self.stages if stage.type in OPEN_TYPES)


def fill_ranges(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Split each type's band evenly over its stages without overlap; ranges set by a person are kept."""
    of_type = {kind: [s for s in stages if s.type is kind and not s.range_edited] for kind in _BANDS}
    made = {s.name: r for kind, group in of_type.items() for s, r in zip(group, _split(kind, len(group)), strict=True)}
    return tuple(s if s.range_edited else s.model_copy(update={"range": made.get(s.name)}) for s in stages)


def check_no_overlap(stages: Sequence[Stage]) -> None:
    """ValueError when open stages share a score, as the first would always get it.

    WON and LOST are chosen by status, so their ranges may overlap.
    """
    ranged = [(stage.name, stage.range) for stage in stages if stage.type in OPEN_TYPES and stage.range]
    for (one, a), (other, b) in itertools.combinations(ranged, 2):
        if a.low <= b.high and b.low <= a.high:
            raise ValueError(f"{one} ({a}) and {other} ({b}) share scores, but each score has one stage")


def keep_edited_ranges(stages: Sequence[Stage], before: Pipeline | None) -> tuple[Stage, ...]:
    """Return `stages` with the ranges a person has set on stages of these names before, unless they set new ones."""
    old = {stage.name: stage for stage in before.stages if stage.range_edited} if before else {}
    return tuple(s if s.range_edited or s.name not in old else _edited_as(s, old[s.name]) for s in stages)


def _edited_as(stage: Stage, before: Stage) -> Stage:
    return stage.model_copy(update={"range": before.range, "range_edited": True})


def _split(kind: StageType, parts: int) -> list[ScoreRange]:
    low, high = _BANDS[kind]
    size = high - low + 1
    if parts > size:
        raise ValueError(f"{parts} stages of type {kind} do not fit into the scores {low}-{high}")
    edges = [low + size * i // parts for i in range(parts + 1)] if parts else []
    return [ScoreRange(low=a, high=b - 1) for a, b in itertools.pairwise(edges)]


def _template(name: str, *stages: tuple[str, StageType]) -> Pipeline:
    return Pipeline(name=name, stages=fill_ranges([Stage(name=stage, type=kind) for stage, kind in stages]))


_LEAD, _OPEN, _WON, _LOST, _ARCHIVED = StageType
TEMPLATES: tuple[Pipeline, ...] = (
    _template(
        "Sales",
        ("New Lead", _LEAD),
        ("Contacted", _LEAD),
        ("Qualified", _OPEN),
        ("Proposal Sent", _OPEN),
        ("Negotiating", _OPEN),
        ("Closed Won", _WON),
        ("Closed Lost", _LOST),
    ),
    _template(
        "Support",
        ("New Request", _LEAD),
        ("Investigating", _OPEN),
        ("Waiting on Customer", _OPEN),
        ("Resolved", _WON),
        ("Abandoned", _LOST),
    ),
    _template(
        "Onboarding",
        ("Signed Up", _LEAD),
        ("Setting Up", _OPEN),
        ("Training", _OPEN),
        ("Live", _WON),
        ("Dropped Out", _LOST),
        ("Archived", _ARCHIVED),
    ),
)


def template(name: str) -> Pipeline | None:
    return next((pipeline for pipeline in TEMPLATES if pipeline.name.casefold() == name.casefold()), None)
