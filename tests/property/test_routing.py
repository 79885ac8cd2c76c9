"""Routing, for any analysis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.contract.contacts import AnalysisSource, LeadStatus, StageRef, StageType, Verdict
from shared.domain.pipelines import (
    OPEN_TYPES,
    TEMPLATES,
    Mode,
    Pipeline,
    ScoreRange,
    Stage,
    fill_ranges,
    keep_edited_ranges,
    template,
)
from shared.domain.routing import route

BANDS = ((StageType.LEAD, 1, 30), (StageType.IN_PROGRESS, 31, 80), (StageType.WON, 81, 100))
CLOSED = (StageType.WON, StageType.LOST)

stages = st.lists(st.sampled_from(StageType), min_size=1, max_size=9).map(
    lambda types: fill_ranges([Stage(name=f"{index} {kind}", type=kind) for index, kind in enumerate(types)])
)
ranges = st.tuples(st.integers(1, 100), st.integers(1, 100)).map(lambda two: ScoreRange(low=min(two), high=max(two)))


@st.composite
def edited_stages(draw: st.DrawFn) -> tuple[Stage, ...]:
    """Pipelines, some with ranges set by a person, which may overlap and leave gaps."""
    made = draw(stages)
    edits = draw(st.lists(st.tuples(st.integers(0, len(made) - 1), ranges), max_size=3))
    by_place = {place: {"range": edit, "range_edited": True} for place, edit in edits}
    return tuple(stage.model_copy(update=by_place.get(place, {})) for place, stage in enumerate(made))


pipelines = st.one_of(
    st.sampled_from(TEMPLATES), edited_stages().map(lambda made: Pipeline(name="made", stages=fill_ranges(made)))
)


@dataclass(frozen=True)
class Case:
    pipeline: Pipeline
    here: Stage | None
    verdict: Verdict
    mode: Mode

    @property
    def there(self) -> Stage | None:
        return route(self.pipeline, ref(self.pipeline, self.here), self.verdict, self.mode)

    def place(self, stage: Stage) -> int:
        return self.pipeline.stages.index(stage)

    def but(self, **more: Any) -> Case:
        return replace(self, verdict=self.verdict.model_copy(update=more))


def ref(pipeline: Pipeline, stage: Stage | None) -> StageRef | None:
    return StageRef(pipeline=pipeline.name, name=stage.name, type=stage.type) if stage else None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    pipeline = draw(pipelines)
    names = [stage.name for stage in pipeline.stages]
    verdict = Verdict(
        summary="s", reasoning="r", lead_score=draw(st.integers(1, 100)), lead_status=draw(st.sampled_from(LeadStatus)),
        confidence=draw(st.one_of(st.integers(0, 100), st.sampled_from([69, 70]))),
        source=draw(st.sampled_from(AnalysisSource)),
        recommended_stage=draw(st.sampled_from([None, "no such stage", *names])),
    )  # fmt: skip
    here = draw(st.sampled_from([None, *pipeline.stages]))
    return Case(pipeline, here, verdict, draw(st.sampled_from(Mode)))


@given(cases())
def test_won_and_lost_need_that_status(case: Case) -> None:
    if case.there and case.there.type in CLOSED:
        assert case.there.type.value == case.verdict.lead_status.value


@given(cases(), st.sampled_from([LeadStatus.WON, LeadStatus.LOST]))
def test_won_and_lost_go_to_the_first_stage_of_that_type(case: Case, status: LeadStatus) -> None:
    first = case.pipeline.first(StageType(status.value))
    if first:
        assert replace(case.but(lead_status=status), here=None).there == first


@given(cases())
def test_an_analysis_neither_archives_nor_unarchives(case: Case) -> None:
    assert case.there is None or case.there.type is not StageType.ARCHIVED
    if case.here and case.here.type is StageType.ARCHIVED:
        assert case.there is None


@given(cases())
def test_skip_existing_keeps_the_stage(case: Case) -> None:
    if case.here:
        assert replace(case, mode=Mode.SKIP_EXISTING).there is None


@given(cases())
def test_a_fallback_never_moves_backward(case: Case) -> None:
    there = case.but(source=AnalysisSource.FALLBACK).there
    if there and case.here and there.type in OPEN_TYPES:
        assert case.place(there) > case.place(case.here)


@given(cases())
def test_backward_moves_need_ten_points_below_the_range(case: Case) -> None:
    here, there = case.here, case.there
    if there and here and here.range and there.type in OPEN_TYPES and here.type in OPEN_TYPES:
        assert case.place(there) > case.place(here) or case.verdict.lead_score <= here.range.low - 10


@pytest.mark.parametrize(("score", "moves"), [(38, True), (39, False)])
def test_ten_points_below_move_backward_and_nine_do_not(score: int, moves: bool) -> None:
    sales = template("Sales")
    assert sales is not None
    here = sales.stage("Proposal Sent")
    assert here is not None
    assert here.range is not None
    assert here.range.low == 47
    case = Case(sales, here, verdict(score - 1), Mode.UPDATE_EXISTING)
    assert bool(case.there) is moves


def verdict(score: int) -> Verdict:
    return Verdict(
        summary="s", reasoning="r", lead_score=score, lead_status=LeadStatus.CONTACTED, confidence=0,
        source=AnalysisSource.AI,
    )  # fmt: skip


@given(cases())
def test_leaving_won_or_lost_needs_confidence(case: Case) -> None:
    if case.there and case.here and case.here.type in CLOSED:
        assert case.verdict.confidence >= 70


@given(cases())
def test_allowed_forward_moves_happen(case: Case) -> None:
    """Moves that no rule forbids happen: from an open stage, or out of WON and LOST with confidence."""
    assume(case.here and case.here.type is not StageType.ARCHIVED)
    assume(case.here and (case.here.type in OPEN_TYPES or case.verdict.confidence >= 70))
    case = replace(case, mode=Mode.UPDATE_EXISTING)
    target = replace(case, here=None).there
    if target and case.here and case.place(target) > case.place(case.here):
        assert case.there == target


@given(cases())
def test_an_open_stage_is_by_recommendation_then_score_then_the_last(case: Case) -> None:
    case = replace(case.but(lead_status=LeadStatus.QUALIFIED), here=None)
    score, open_stages = case.verdict.lead_score, case.pipeline.open_stages
    near = [s for s in open_stages if s.range and s.range.low - 10 <= score <= s.range.high + 10]
    recommended = [s for s in near if s.name == case.verdict.recommended_stage]
    by_score = [s for s in open_stages if s.range and score in s.range]
    expected = [*recommended, *by_score, *open_stages[-1:]]
    assert case.there == (expected[0] if expected else None)


@given(cases())
def test_the_same_analysis_moves_a_contact_only_once(case: Case) -> None:
    if case.there:
        assert replace(case, here=case.there).there is None


@given(cases())
def test_a_stage_missing_from_the_pipeline_counts_as_none(case: Case) -> None:
    gone = StageRef(pipeline=case.pipeline.name, name="gone", type=StageType.WON)
    assert route(case.pipeline, gone, case.verdict, case.mode) == replace(case, here=None).there


@given(stages)
def test_ranges_neither_overlap_nor_leave_gaps(made: tuple[Stage, ...]) -> None:
    for kind, low, high in BANDS:
        ranges = [stage.range for stage in made if stage.type is kind and stage.range]
        covered = [score for each in ranges for score in range(each.low, each.high + 1)]
        assert covered == (list(range(low, high + 1)) if ranges else [])
    assert all(stage.range is None for stage in made if stage.type in (StageType.LOST, StageType.ARCHIVED))


@given(edited_stages())
def test_a_range_edited_by_a_person_is_kept(made: tuple[Stage, ...]) -> None:
    edited = [stage for stage in made if stage.range_edited]
    assert [stage for stage in fill_ranges(made) if stage.range_edited] == edited
    again = keep_edited_ranges(
        fill_ranges([Stage(name=s.name, type=s.type) for s in made]), Pipeline(name="p", stages=made)
    )
    assert [stage for stage in fill_ranges(again) if stage.range_edited] == edited


@given(edited_stages(), edited_stages())
def test_an_imported_edited_range_replaces_the_stored_one(before: tuple[Stage, ...], new: tuple[Stage, ...]) -> None:
    kept = keep_edited_ranges(new, Pipeline(name="p", stages=before))
    assert [stage for stage, own in zip(kept, new, strict=True) if own.range_edited] == [
        s for s in new if s.range_edited
    ]


def test_more_stages_than_scores_are_refused() -> None:
    many = [Stage(name=str(number), type=StageType.WON) for number in range(21)]
    with pytest.raises(ValueError, match="do not fit"):
        fill_ranges(many)
