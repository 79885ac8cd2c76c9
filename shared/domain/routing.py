"""Routing: which stage of its pipeline a contact belongs in after an analysis. Pure."""

from __future__ import annotations

from shared.contract.contacts import AnalysisSource, LeadStatus, StageRef, StageType, Verdict
from shared.domain.pipelines import (
    BACKWARD_MARGIN,
    OPEN_TYPES,
    RECOMMENDATION_REACH,
    REOPEN_CONFIDENCE,
    Mode,
    Pipeline,
    Stage,
)

CLOSED = {LeadStatus.WON: StageType.WON, LeadStatus.LOST: StageType.LOST}


def route(
    pipeline: Pipeline, current: StageRef | None, verdict: Verdict, mode: Mode, is_provisional: bool = False
) -> Stage | None:
    """Return the stage to move the contact to; None if it stays or the pipeline has no stage for it.

    A current stage that the pipeline no longer has counts as none. Out of a provisional one
    (`Contact.is_provisional`) any analysis moves the contact, in both modes.
    """
    here = pipeline.stage(current.name) if current else None
    if here and is_provisional and here.type in CLOSED.values():
        there = _target(pipeline, verdict)
        return None if there == here else there
    if here and (mode is Mode.SKIP_EXISTING or not _may_leave(here, verdict)):
        return None
    there = _target(pipeline, verdict)
    if there is None or there == here:
        return None
    if here and _is_backward(pipeline, here, there) and not _may_go_back(here, verdict):
        return None
    return there


def _target(pipeline: Pipeline, verdict: Verdict) -> Stage | None:
    """Return the WON or LOST stage by status alone, else an open stage: recommended, by score, or the last one."""
    closed = CLOSED.get(verdict.lead_status)
    if closed:
        stage = pipeline.first(closed)
        if stage:
            return stage
    open_stages = pipeline.open_stages
    recommended = next((stage for stage in open_stages if stage.name == verdict.recommended_stage), None)
    if recommended and _distance(recommended, verdict.lead_score) <= RECOMMENDATION_REACH:
        return recommended
    by_score = next((stage for stage in open_stages if _distance(stage, verdict.lead_score) == 0), None)
    return by_score or (open_stages[-1] if open_stages else None)


def _may_leave(here: Stage, verdict: Verdict) -> bool:
    if here.type is StageType.ARCHIVED:
        return False
    return here.type in OPEN_TYPES or verdict.confidence >= REOPEN_CONFIDENCE


def _is_backward(pipeline: Pipeline, here: Stage, there: Stage) -> bool:
    """Return whether `there` is an open stage before `here`. Moves to WON and LOST are never backward."""
    return there.type in OPEN_TYPES and pipeline.stages.index(there) < pipeline.stages.index(here)


def _may_go_back(here: Stage, verdict: Verdict) -> bool:
    """Return whether an analysis may move a contact backward; a fallback never does. Leaving WON or LOST needs
    confidence, not a low score."""
    if verdict.source is not AnalysisSource.AI:
        return False
    low = here.range.low if here.range else 1
    return here.type not in OPEN_TYPES or verdict.lead_score <= low - BACKWARD_MARGIN


def _distance(stage: Stage, score: int) -> int:
    return stage.range.distance(score) if stage.range else 100
