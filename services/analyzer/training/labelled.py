"""Read the labelled conversations that a model is fitted on. Pure, except for `read_folder`.

A folder has one file an author, `author-NAME.jsonl`, in the format of `leadstream analyse` with `label`. Cases of one
author are never on both sides of a split: they share a hand, and cuts and pairs of one conversation are always one
author's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.evaluation.measures import Label
from services.analyzer.evaluation.transcripts_file import TranscriptCase, read_case

AUTHOR_FILES = "author-*.jsonl"


@dataclass(frozen=True, slots=True)
class LabelledConversation:
    """A conversation of which the label is known."""

    author: str
    case: TranscriptCase
    label: Label

    @property
    def analysis_input(self) -> AnalysisInput:
        return self.case.analysis_input


def read_folder(folder: Path) -> list[LabelledConversation]:
    """Return the conversations of all authors, always in the same order. ValueError for a folder or line without."""
    paths = sorted(folder.glob(AUTHOR_FILES))
    if not paths:
        raise ValueError(f"{folder} has no file {AUTHOR_FILES}")
    return [
        each
        for path in paths
        for each in read_author(path.stem.removeprefix("author-"), path.read_bytes().splitlines())
    ]


def read_author(author: str, lines: Iterable[bytes]) -> list[LabelledConversation]:
    return [_conversation(author, line) for line in lines if line.strip()]


def _conversation(author: str, line: bytes) -> LabelledConversation:
    case = read_case(line)
    if case.label is None:
        raise ValueError(f"{case.id} of author {author} has no label")
    return LabelledConversation(author, case, case.label)
