"""The form of a pipeline: one row of fields for each stage, validated by the API's request models. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from multidict import MultiMapping
from pydantic import TypeAdapter, ValidationError

from services.console.api.requests import PipelineName, StageRequest
from shared.contract.contacts import StageType
from shared.domain.pipelines import Pipeline, Stage

MAX_STAGES = 30
EMPTY_ROWS = 7
"""Rows in the form of a new pipeline; that of an existing one has one more row than it has stages."""
COLUMNS = ("place", "name", "type", "low", "high", "made")
NAME_ERROR = "a name has 1 to 80 characters"
ROW_ERRORS = {"name": NAME_ERROR, "type": "choose a type", "range": "its scores must go up, within 1 to 100"}

_NAME: TypeAdapter[str] = TypeAdapter(PipelineName)


class InvalidPipelineError(ValueError):
    """`row` is the invalid row; None for an error of the whole pipeline."""

    def __init__(self, message: str, row: StageRow | None = None) -> None:
        super().__init__(message)
        self.row = row


@dataclass(frozen=True, slots=True)
class StageRow:
    """`made` is the automatic range that the page had shown, as `low-high`; empty if a person had set the range."""

    place: str
    name: str = ""
    kind: str = StageType.LEAD
    low: str = ""
    high: str = ""
    made: str = ""

    @property
    def has_scores(self) -> bool:
        return bool(self.low or self.high) and self.kind not in {StageType.LOST, StageType.ARCHIVED}

    @property
    def is_as_made(self) -> bool:
        return self.made == f"{self.low}-{self.high}"


@dataclass(frozen=True, slots=True)
class PipelineForm:
    """`edition` is the one of the pipeline that is edited; empty for a new pipeline."""

    name: str = ""
    edition: str = ""
    rows: tuple[StageRow, ...] = tuple(StageRow(str(place)) for place in range(1, EMPTY_ROWS + 1))


def form_of(pipeline: Pipeline) -> PipelineForm:
    """Return the form as it is first shown."""
    rows = [_row(str(place), stage) for place, stage in enumerate(pipeline.stages, 1)]
    return PipelineForm(pipeline.name, pipeline.edition, (*rows, StageRow(str(len(rows) + 1))))


def submitted(fields: MultiMapping[object]) -> PipelineForm:
    """Return the form as it was submitted. Raise InvalidPipelineError for columns of different lengths."""
    columns = [[str(each).strip() for each in fields.getall(f"stage_{name}", [])] for name in COLUMNS]
    if len({len(column) for column in columns}) != 1 or len(columns[0]) > MAX_STAGES + EMPTY_ROWS:
        raise InvalidPipelineError("the form is incomplete")
    rows = tuple(StageRow(*cells) for cells in zip(*columns, strict=True))
    return PipelineForm(str(fields.get("name", "")), str(fields.get("edition", "")), rows)


def pipeline_of(form: PipelineForm) -> Pipeline:
    """Return the pipeline. Rows without a name are left out; the others are ordered by place.

    A range is automatic where it is empty, and where all of its type are as they were made. Once a person has set one
    range, the other ranges of its type stay as they are. Raise InvalidPipelineError.
    """
    rows = sorted((row for row in form.rows if row.name), key=_place)
    edited_kinds = {row.kind for row in rows if row.has_scores and not row.is_as_made}
    stages = tuple(_stage(row, edited_kinds) for row in rows)
    if not stages:
        raise InvalidPipelineError("it needs a stage")
    try:
        name = _NAME.validate_python(form.name)
    except ValidationError:
        raise InvalidPipelineError(NAME_ERROR) from None
    try:
        return Pipeline(name=name, stages=stages)
    except ValidationError as error:
        raise InvalidPipelineError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _row(place: str, stage: Stage) -> StageRow:
    low, high = (str(stage.range.low), str(stage.range.high)) if stage.range else ("", "")
    made = f"{low}-{high}" if stage.range and not stage.range_edited else ""
    return StageRow(place, stage.name, stage.type, low, high, made)


def _stage(row: StageRow, edited_kinds: Collection[str]) -> Stage:
    is_automatic = not row.has_scores or (row.is_as_made and row.kind not in edited_kinds)
    scores = None if is_automatic else {"low": row.low, "high": row.high}
    try:
        return StageRequest.model_validate({"name": row.name, "type": row.kind, "range": scores}).stage()
    except ValidationError as error:
        at = error.errors()[0]["loc"]
        raise InvalidPipelineError(ROW_ERRORS[str(at[0])] if at else ROW_ERRORS["range"], row) from None


def _place(row: StageRow) -> int:
    if not row.place:
        return 0
    if not (row.place.isascii() and row.place.isdigit() and len(row.place) < 4):
        raise InvalidPipelineError(f"{row.place!r} is not a position: give a whole number", row)
    return int(row.place)
