"""Read the labelled conversations that a model is fitted on. Pure, except for `read_folder`.

A folder has one file an author, `author-NAME.jsonl`, in the format of `leadstream analyse` with `label`, and where the
author gave them `language` and `tags`. Cases of one author are never on both sides of a split: they share a hand, and
cuts and pairs of one conversation are always one author's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.evaluation.measures import Label
from services.analyzer.evaluation.transcripts_file import read_case

AUTHOR_FILES = "author-*.jsonl"


@dataclass(frozen=True, slots=True)
class LabelledConversation:
    """`acts` has one for each line, empty where the author gave none."""

    id: str
    author: str
    language: str
    tags: tuple[str, ...]
    analysis_input: AnalysisInput
    label: Label
    acts: tuple[str, ...]


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
    row = orjson.loads(line)
    return LabelledConversation(
        id=case.id,
        author=author,
        language=str(row.get("language", "unknown")),
        tags=tuple(row.get("tags", ())),
        analysis_input=case.analysis_input,
        label=case.label,
        acts=tuple(each.get("act") or "" for each in _messages_with_content(row)),
    )


def _messages_with_content(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages that are lines of the transcript, in its order."""
    said = [each for each in row["messages"] if (each.get("text") or "").strip() or each.get("attachment")]
    return sorted(said, key=lambda each: datetime.fromisoformat(each["at"]))
