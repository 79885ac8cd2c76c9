"""A pipeline as a person types it: one line of fields for each stage. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from multidict import MultiMapping
from pydantic import ValidationError

from shared.contract.contacts import StageType
from shared.domain.pipelines import Pipeline, ScoreRange, Stage

MAX_NAME_CHARS, MAX_STAGES = 80, 30
EMPTY_ROWS = 7
"""Of a new pipeline; one that is edited has one more than it has stages."""
COLUMNS = ("place", "name", "type", "low", "high", "made")


class WrongPipelineError(ValueError):
    """Says what is wrong, and in which line where it is in one."""

    def __init__(self, message: str, line: StageFields | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class StageFields:
    """`made` is the range that the page had shown as one that was made, as `low-high`."""

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
    """`edition` is that of the pipeline that is edited, empty for a new one."""

    name: str = ""
    edition: str = ""
    lines: tuple[StageFields, ...] = tuple(StageFields(str(place)) for place in range(1, EMPTY_ROWS + 1))


def form_of(pipeline: Pipeline) -> PipelineForm:
    """As it is first shown."""
    lines = [_line(str(place), stage) for place, stage in enumerate(pipeline.stages, 1)]
    return PipelineForm(pipeline.name, pipeline.edition, (*lines, StageFields(str(len(lines) + 1))))


def typed(fields: MultiMapping[object]) -> PipelineForm:
    """As it was sent. WrongPipelineError where that is not whole."""
    columns = [[str(each).strip() for each in fields.getall(f"stage_{name}", [])] for name in COLUMNS]
    if len({len(column) for column in columns}) != 1 or len(columns[0]) > MAX_STAGES + EMPTY_ROWS:
        raise WrongPipelineError("the form is not whole")
    lines = tuple(StageFields(*cells) for cells in zip(*columns, strict=True))
    return PipelineForm(str(fields.get("name", "")), str(fields.get("edition", "")), lines)


def pipeline_of(form: PipelineForm) -> Pipeline:
    """A line without a name is no stage. Order is the number that stands before the name.

    Ranges are made anew where they are empty, and where all of a type are as they were made; where a person has set
    one, the others of its type stay as they stand.
    """
    lines = sorted((line for line in form.lines if line.name), key=_place)
    set_kinds = {line.kind for line in lines if line.has_scores and not line.is_as_made}
    stages = tuple(_stage(line, set_kinds) for line in lines)
    try:
        return Pipeline(name=_name(form.name), stages=stages)
    except ValidationError as error:
        raise WrongPipelineError("; ".join(_wrongs(error))) from None


def _line(place: str, stage: Stage) -> StageFields:
    low, high = (str(stage.range.low), str(stage.range.high)) if stage.range else ("", "")
    made = f"{low}-{high}" if stage.range and not stage.range_edited else ""
    return StageFields(place, stage.name, stage.type, low, high, made)


def _stage(line: StageFields, set_kinds: Collection[str]) -> Stage:
    if line.kind not in set(StageType):
        raise WrongPipelineError(f"there is no type {line.kind!r}", line)
    name, kind = _name(line.name, line), StageType(line.kind)
    if not line.has_scores or (line.is_as_made and kind not in set_kinds):
        return Stage(name=name, type=kind)
    try:
        scores = ScoreRange(low=_number(line.low, line), high=_number(line.high, line))
    except ValidationError:
        raise WrongPipelineError("its scores must go up, within 1 to 100", line) from None
    return Stage(name=name, type=kind, range=scores, range_edited=True)


def _wrongs(error: ValidationError) -> Iterator[str]:
    for each in error.errors():
        yield "it needs a stage" if each["type"] == "too_short" else each["msg"].removeprefix("Value error, ")


def _name(text: str, line: StageFields | None = None) -> str:
    name = " ".join(text.split())
    if not name or len(name) > MAX_NAME_CHARS:
        raise WrongPipelineError(f"a name has 1 to {MAX_NAME_CHARS} characters", line)
    return name


def _place(line: StageFields) -> int:
    return _number(line.place, line) if line.place else 0


def _number(text: str, line: StageFields) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise WrongPipelineError(
            f"{text!r} is not a number that can stand here" if text else "a score is missing", line
        )
    return int(text)
