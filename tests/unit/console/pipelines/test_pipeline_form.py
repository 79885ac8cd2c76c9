"""The form of a pipeline."""

from __future__ import annotations

import pytest
from multidict import MultiDict

from services.console.pipelines.form import InvalidPipelineError, PipelineForm, form_of, pipeline_of, submitted
from shared.contract.contacts import StageType
from shared.domain.pipelines import TEMPLATES, Pipeline, fill_ranges


def fields(*stages: tuple[str, ...], name: str = "Sales") -> MultiDict[object]:
    form: MultiDict[object] = MultiDict(name=name)
    for number, stage in enumerate(stages, 1):
        cells = dict(zip(("name", "type", "low", "high", "made"), (*stage, "", "", "")[:5], strict=True))
        for column, value in {"place": str(number), **cells}.items():
            form.add(f"stage_{column}", value)
    return form


def sent(*stages: tuple[str, ...], name: str = "Sales") -> PipelineForm:
    return submitted(fields(*stages, name=name))


def test_a_row_without_a_name_is_no_stage() -> None:
    made = pipeline_of(sent(("New", "LEAD"), ("", "LEAD"), ("Won", "WON")))
    assert [stage.name for stage in made.stages] == ["New", "Won"]


def test_a_range_counts_as_set_by_a_person_only_if_it_differs_from_the_automatic_one() -> None:
    made = pipeline_of(sent(("New", "LEAD", "1", "30", "1-30"), ("Open", "IN_PROGRESS", "40", "80", "31-80")))
    assert [stage.range_edited for stage in made.stages] == [False, True]
    ranges = [stage.range for stage in fill_ranges(made.stages)]
    assert [(each.low, each.high) for each in ranges if each] == [(1, 30), (40, 80)]


def test_setting_one_range_keeps_the_other_ranges_of_its_type() -> None:
    made = pipeline_of(
        sent(("Open", "IN_PROGRESS", "31", "60", "31-55"), ("Later", "IN_PROGRESS", "61", "80", ""),
             ("Won", "WON", "81", "100", "81-100"))
    )  # fmt: skip
    assert [stage.range_edited for stage in made.stages] == [True, True, False]


def test_places_order_the_stages() -> None:
    form = fields(("New", "LEAD"), ("Won", "WON"))
    form.popall("stage_place")
    for place in ("2", "1"):
        form.add("stage_place", place)
    assert [stage.type for stage in pipeline_of(submitted(form)).stages] == [StageType.WON, StageType.LEAD]


def test_an_unchanged_form_changes_nothing() -> None:
    sales = TEMPLATES[0]
    assert Pipeline(name="Sales", stages=fill_ranges(pipeline_of(form_of(sales)).stages)) == sales


@pytest.mark.parametrize(
    "form",
    [
        sent(),
        sent(("New", "LEAD"), ("New", "LEAD")),
        sent(("New", "KING")),
        sent(("New", "LEAD", "9", "3")),
        sent(("New", "LEAD", "9")),
        sent(("New", "LEAD", "-1", "3")),
        sent(("New", "LEAD", "1", "101")),
        sent(("New", "LEAD"), name=" "),
    ],
)
def test_an_invalid_pipeline_is_refused(form: PipelineForm) -> None:
    with pytest.raises(InvalidPipelineError):
        pipeline_of(form)


def test_an_error_names_its_row() -> None:
    form = sent(("New", "LEAD"), ("Won", "WON", "90", "80"))
    with pytest.raises(InvalidPipelineError) as refused:
        pipeline_of(form)
    assert refused.value.row is form.rows[1]


def test_an_incomplete_form_is_refused() -> None:
    with pytest.raises(InvalidPipelineError):
        submitted(MultiDict(name="Sales", stage_name="New"))
