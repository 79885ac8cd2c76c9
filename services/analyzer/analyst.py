"""What an analyst is given and gives back: Gemini and the fallback scorer stand behind this joint. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from shared.contacts import Verdict
from shared.ids import Platform
from shared.pipelines import Stage


class Role(StrEnum):
    CUSTOMER = "customer"
    BUSINESS = "business"


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a transcript. `marks` stand for what is not text: `[image]`, `[pressed: Get Started]`."""

    at: datetime
    role: Role
    text: str
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """A whole conversation, oldest line first. Has at least one line."""

    platform: Platform
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Brief:
    """One analysis to make. `stages` are the pipeline's that may be recommended; none without a pipeline."""

    transcript: Transcript
    now: datetime
    stages: tuple[Stage, ...] = ()


class Analyst(Protocol):
    async def analyse(self, brief: Brief) -> Verdict:
        """TransientError when no verdict could be had in time. Never waits on behalf of another conversation."""
        ...
