"""What an analyst is given and gives back: Gemini and the fallback scorer stand behind this joint. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from shared.contract.contacts import Verdict
from shared.contract.failures import TransientError
from shared.contract.ids import Platform
from shared.domain.pipelines import Stage


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
class AnalysisInput:
    """One analysis to make. `stages` are the pipeline's that may be recommended; none without a pipeline."""

    transcript: Transcript
    now: datetime
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True, slots=True)
class Spent:
    """What all calls of one analysis took together: those that gave nothing, and tokens where they are known."""

    retry_count: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None

    def on(self, verdict: Verdict) -> Verdict:
        return verdict.model_copy(update=asdict(self))


class NoVerdictError(TransientError):
    """The AI is not to be had for this conversation now; what was spent on it nevertheless."""

    def __init__(self, reason: str, spent: Spent) -> None:
        super().__init__(reason)
        self.spent = spent


class Analyst(Protocol):
    async def analyse(self, brief: AnalysisInput) -> Verdict:
        """TransientError when no verdict could be had in time. Never waits on behalf of another conversation."""
        ...
