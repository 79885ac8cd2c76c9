"""Read transcripts from a file for trying out rules and prompts: one JSON object a line, in UTF-8. Pure.

A time without a zone is UTC. Messages are sorted by time; empty ones are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole, Transcript, TranscriptLine
from services.analyzer.analysis.transcript import ATTACHMENT_NAMES
from services.analyzer.evaluation.measures import Label
from shared.contract.contacts import Band, LeadStatus
from shared.contract.ids import Platform

UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class TranscriptCase:
    """One conversation of the file, with a label if a person has judged it.

    `acts` has what the author says that each line does, empty where they do not.
    """

    id: str
    analysis_input: AnalysisInput
    label: Label | None
    language: str
    tags: tuple[str, ...]
    acts: tuple[str, ...]


def read_case(line: bytes) -> TranscriptCase:
    """Return the conversation of a line. ValueError, with a message for a person, for any other line."""
    try:
        row = _Row.model_validate_json(line.removeprefix(UTF8_MARK).strip())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
    said = [(made, message.act or "") for message in row.messages for made in message.lines()]
    if not said:
        raise ValueError("messages: none of them says anything")
    said.sort(key=lambda pair: pair[0].at)
    transcript = Transcript(row.platform, tuple(made for made, _ in said))
    return TranscriptCase(
        id=row.id,
        analysis_input=AnalysisInput(transcript, row.now),
        label=row.label.label() if row.label else None,
        language=row.language,
        tags=row.tags,
        acts=tuple(act for _, act in said),
    )


def _with_zone(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


_At = Annotated[datetime, AfterValidator(_with_zone)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class _Message(_Model):
    at: _At
    role: SpeakerRole = Field(alias="from")
    text: str | None = None
    attachment: str | None = None
    act: str | None = None

    def lines(self) -> list[TranscriptLine]:
        text = (self.text or "").strip()
        marks = (f"[{ATTACHMENT_NAMES.get(self.attachment, self.attachment)}]",) if self.attachment else ()
        return [TranscriptLine(self.at, self.role, text, marks)] if text or marks else []


class _Label(_Model):
    score_low: int = Field(ge=1, le=100)
    score_high: int = Field(ge=1, le=100)
    statuses: tuple[LeadStatus, ...]
    band: Band

    def label(self) -> Label:
        best = self.statuses[0] if self.statuses else None
        return Label(self.score_low, self.score_high, frozenset(self.statuses), self.band, best)


class _Row(_Model):
    id: str
    platform: Platform
    now: _At
    language: str = "unknown"
    tags: tuple[str, ...] = ()
    messages: tuple[_Message, ...]
    label: _Label | None = None
