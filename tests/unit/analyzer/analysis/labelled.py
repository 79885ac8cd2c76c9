"""Labelled conversations, and the agreement of a scorer with the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.evaluation.measures import LabelledVerdict, Measures, measure
from services.analyzer.evaluation.transcripts_file import TranscriptCase, read_case
from shared.contract.contacts import LeadStatus

DATA = Path(__file__).parent / "data"
GIVEN, OWN = DATA / "conversations.jsonl", DATA / "own.jsonl"


def labelled(file: Path = GIVEN) -> Iterator[TranscriptCase]:
    yield from map(read_case, file.read_bytes().splitlines())


def held_out_cases() -> list[TranscriptCase]:
    """Return our own cases that no rule was written for (see SOURCES.md)."""
    numbered = [(int(case.id.removeprefix("own-")), case) for case in labelled(OWN)]
    return [case for number, case in numbered if number > 218 or (number <= 202 and number % 2)]


def measures(score: Callable[[AnalysisInput], tuple[int, LeadStatus]], cases: Iterable[TranscriptCase]) -> Measures:
    return measure(LabelledVerdict(case.label, *score(case.analysis_input)) for case in cases if case.label)
