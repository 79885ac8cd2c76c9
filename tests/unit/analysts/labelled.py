"""Labelled conversations, and how well a scorer meets the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.evaluation.measures import Judged, Measures, measure
from services.analyzer.evaluation.transcripts_file import Case, read_case
from shared.contract.contacts import LeadStatus

DATA = Path(__file__).parent / "data"
GIVEN, OWN = DATA / "conversations.jsonl", DATA / "own.jsonl"


def labelled(file: Path = GIVEN) -> Iterator[Case]:
    yield from map(read_case, file.read_bytes().splitlines())


def held_back() -> list[Case]:
    """Of our own, those that no rule was made for (see SOURCES.md)."""
    numbered = [(int(case.id.removeprefix("own-")), case) for case in labelled(OWN)]
    return [case for number, case in numbered if number > 218 or (number <= 202 and number % 2)]


def measures(score: Callable[[AnalysisInput], tuple[int, LeadStatus]], cases: Iterable[Case]) -> Measures:
    return measure(Judged(case.label, *score(case.brief)) for case in cases if case.label)
