"""A pipeline as a person types it: one line of fields for each stage. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from multidict import MultiMapping
from pydantic import ValidationError

from shared.pipelines import Pipeline, ScoreRange, Stage, StageType

MAX_NAME, MAX_STAGES = 80, 30


class WrongPipelineError(ValueError):
    """Says what is wrong."""


def pipeline_of(form: MultiMapping[object]) -> Pipeline:
    """A line without a name is no stage. A range that is not what the page had shown was set by a person; an empty
    one is made. Order is the number that stands before the name."""
    lines = list(_lines(form))
    stages = tuple(_stage(line) for line in sorted(lines, key=lambda line: _number(line["place"]) or 0))
    try:
        return Pipeline(name=_name(str(form.get("name", ""))), stages=stages)
    except ValidationError as error:
        faults = error.errors()
        raise WrongPipelineError("; ".join(each["msg"].removeprefix("Value error, ") for each in faults)) from None


def _lines(form: MultiMapping[object]) -> Iterator[dict[str, str]]:
    columns = {name: _all(form, f"stage_{name}") for name in ("place", "name", "type", "low", "high", "made")}
    if len({len(column) for column in columns.values()}) != 1 or len(columns["name"]) > MAX_STAGES + 5:
        raise WrongPipelineError("the form is not whole")
    for cells in zip(*columns.values(), strict=True):
        line = dict(zip(columns, cells, strict=True))
        if line["name"]:
            yield line


def _all(form: MultiMapping[object], name: str) -> Sequence[str]:
    return [str(each).strip() for each in form.getall(name, [])]


def _stage(line: dict[str, str]) -> Stage:
    try:
        kind = StageType(line["type"])
    except ValueError:
        raise WrongPipelineError(f"{line['name']}: there is no type {line['type']!r}") from None
    low, high = _number(line["low"]), _number(line["high"])
    is_made = line["made"] == f"{line['low']}-{line['high']}"
    if is_made or (low is None and high is None) or kind in {StageType.LOST, StageType.ARCHIVED}:
        return Stage(name=_name(line["name"]), type=kind)
    try:
        scores = ScoreRange(low=low or 0, high=high or 0)
    except ValidationError:
        raise WrongPipelineError(f"{line['name']}: its scores must go up, within 1 to 100") from None
    return Stage(name=_name(line["name"]), type=kind, range=scores, range_edited=True)


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not name or len(name) > MAX_NAME:
        raise WrongPipelineError(f"a name has 1 to {MAX_NAME} characters")
    return name


def _number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise WrongPipelineError(f"{text!r} is not a score")
    return int(text)
