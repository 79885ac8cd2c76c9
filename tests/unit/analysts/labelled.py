"""Labelled conversations, and how well a scorer meets the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from services.analyzer.analyst import Brief
from services.analyzer.evaluation import Judged, Measures, measure
from services.analyzer.transcripts_file import Case, read_case
from shared.contacts import LeadStatus

DATA = Path(__file__).parent / "data"
GIVEN, OWN = DATA / "conversations.jsonl", DATA / "own.jsonl"


def labelled(file: Path = GIVEN) -> Iterator[Case]:
    yield from map(read_case, file.read_bytes().splitlines())


def measures(score: Callable[[Brief], tuple[int, LeadStatus]], file: Path = GIVEN) -> Measures:
    cases = labelled(file)
    return measure(Judged(case.label, *score(case.brief)) for case in cases if case.label)
