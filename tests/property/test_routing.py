"""Where contacts go, whatever the analysis says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.contacts import AnalysisSource, LeadStatus, StageRef, Verdict
from shared.pipelines import OPEN_TYPES, TEMPLATES, Mode, Pipeline, Stage, StageType, with_ranges
from shared.routing import route

Case = tuple[Pipeline, StageRef | None, Verdict, Mode]
BANDS = ((StageType.LEAD, 1, 30), (StageType.IN_PROGRESS, 31, 80), (StageType.WON, 81, 100))
stages = st.lists(st.sampled_from(StageType), min_size=1, max_size=9).map(
    lambda types: with_ranges([Stage(name=f"{index} {kind}", type=kind) for index, kind in enumerate(types)])
)
pipelines = st.one_of(st.sampled_from(TEMPLATES), stages.map(lambda made: Pipeline(name="made", stages=made)))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    pipeline = draw(pipelines)
    names = [stage.name for stage in pipeline.stages]
    verdict = Verdict(
        summary="s", reasoning="r", lead_score=draw(st.integers(1, 100)), lead_status=draw(st.sampled_from(LeadStatus)),
        confidence=draw(st.integers(0, 100)), source=draw(st.sampled_from(AnalysisSource)),
        recommended_stage=draw(st.sampled_from([None, "no such stage", *names])),
    )  # fmt: skip
    here = draw(st.sampled_from([None, *pipeline.stages]))
    current = StageRef(pipeline=pipeline.name, name=here.name, type=here.type) if here else None
    return pipeline, current, verdict, draw(st.sampled_from(Mode))


@given(cases())
def test_no_one_lands_in_won_or_lost_without_that_status(case: Case) -> None:
    stage = route(*case)
    if stage and stage.type in (StageType.WON, StageType.LOST):
        assert stage.type.value == case[2].lead_status.value


@given(cases())
def test_no_one_is_archived_by_a_machine(case: Case) -> None:
    stage = route(*case)
    assert stage is None or stage.type is not StageType.ARCHIVED


@given(cases())
def test_a_stage_that_is_set_stays_where_the_mode_says_so(
    case: tuple[Pipeline, StageRef | None, Verdict, Mode],
) -> None:
    pipeline, current, verdict, _ = case
    if current:
        assert route(pipeline, current, verdict, Mode.SKIP_EXISTING) is None


@given(cases())
def test_no_one_moves_backward_by_a_fallback(case: Case) -> None:
    pipeline, current, verdict, mode = case
    stage = route(pipeline, current, verdict.model_copy(update={"source": AnalysisSource.FALLBACK}), mode)
    if stage and current and stage.type in OPEN_TYPES and current.type in OPEN_TYPES:
        names = [each.name for each in pipeline.stages]
        assert names.index(stage.name) > names.index(current.name)


@given(cases())
def test_backward_only_ten_points_below_the_range(case: Case) -> None:
    pipeline, current, verdict, mode = case
    stage = route(pipeline, current, verdict, mode)
    here = pipeline.stage(current.name) if current else None
    if stage and here and here.range and stage.type in OPEN_TYPES and here.type in OPEN_TYPES:
        forward = pipeline.stages.index(stage) > pipeline.stages.index(here)
        assert forward or verdict.lead_score <= here.range.low - 10


@given(cases())
def test_out_of_won_or_lost_only_with_confidence(case: Case) -> None:
    stage = route(*case)
    if stage and case[1] and case[1].type in (StageType.WON, StageType.LOST):
        assert case[2].confidence >= 70


@given(cases())
def test_a_new_contact_of_an_open_pipeline_gets_a_stage(case: Case) -> None:
    pipeline, _, verdict, mode = case
    if pipeline.open_stages:
        assert route(pipeline, None, verdict, mode) is not None


@given(stages)
def test_ranges_share_no_border_and_leave_no_gap(made: tuple[Stage, ...]) -> None:
    for kind, low, high in BANDS:
        ranges = [stage.range for stage in made if stage.type is kind and stage.range]
        covered = [score for each in ranges for score in range(each.low, each.high + 1)]
        assert covered == (list(range(low, high + 1)) if ranges else [])
    assert all(stage.range is None for stage in made if stage.type in (StageType.LOST, StageType.ARCHIVED))


@given(stages, st.integers(0, 8))
def test_a_range_that_a_person_edited_is_not_made_anew(made: tuple[Stage, ...], place: int) -> None:
    edited = made[place % len(made)].model_copy(update={"range_edited": True})
    again = with_ranges([edited if stage.name == edited.name else stage for stage in made])
    assert edited in again
