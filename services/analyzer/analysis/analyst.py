"""The interface of an analyst, its input and its cost. `ai/` and `fallback/` implement it. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import Protocol

from shared.contract.contacts import Verdict
from shared.contract.failures import TransientError
from shared.contract.ids import Platform
from shared.domain.pipelines import Stage


class SpeakerRole(StrEnum):
    CUSTOMER = "customer"
    BUSINESS = "business"


@dataclass(frozen=True, slots=True)
class TranscriptLine:
    """One message of a transcript. `marks` describe what is not text: `[image]`, `[pressed: Get Started]`.

    `message_id` is empty where the message has none, as in a file of transcripts.
    """

    at: datetime
    role: SpeakerRole
    text: str
    marks: tuple[str, ...] = ()
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A whole conversation, oldest line first, with at least one line."""

    platform: Platform
    lines: tuple[TranscriptLine, ...]


@dataclass(frozen=True, slots=True)
class AnalysisInput:
    """One conversation to analyse. `stages` are those of its pipeline, empty without one.

    `account_name` is empty where the account was never added. `timezone` is that of the business. `account` is
    `platform:account_id`, empty where the conversation is nobody's, as in a file.
    """

    transcript: Transcript
    now: datetime
    stages: tuple[Stage, ...] = ()
    account_name: str = ""
    timezone: tzinfo = UTC
    account: str = ""


@dataclass(frozen=True, slots=True)
class AnalysisCost:
    """The sum over all calls of one analysis: calls without a usable answer, and tokens where they are known."""

    retry_count: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None

    def added_to(self, verdict: Verdict) -> Verdict:
        return verdict.model_copy(update=asdict(self))


class NoVerdictError(TransientError):
    """The AI gave no verdict on this conversation; `cost` is what the attempt used all the same."""

    def __init__(self, reason: str, cost: AnalysisCost) -> None:
        super().__init__(reason)
        self.cost = cost


class Analyst(Protocol):
    async def analyse(self, analysis_input: AnalysisInput) -> Verdict:
        """Return the verdict, or raise TransientError when there is none before the deadline.

        An analysis waits only for its own calls, never for another conversation.
        """
        ...
