"""The real analyst and client, with a clock that moves only by sleeping."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from services.analyzer.analysis.ai.analyst import AIAnalyst
from services.analyzer.analysis.ai.key_selector import KeySelector
from services.analyzer.analysis.ai.transport import ModelTransport
from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole, Transcript, TranscriptLine
from services.analyzer.analysis.providers import GEMINI_CONTEXT_TOKENS
from shared.contract.ids import Platform
from shared.domain.pipelines import TEMPLATES

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@dataclass
class Time:
    """A clock in seconds that moves only by sleeping."""

    now: float = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Asking:
    """Creates analysts that share a provider's client and a clock."""

    transport: ModelTransport
    time: Time

    def analyst(
        self,
        keys: tuple[str, ...] = ("k1",),
        models: tuple[str, ...] = ("m1",),
        *,
        requests_per_minute: int = 1000,
        deadline_seconds: float = 20,
        context_tokens: int = GEMINI_CONTEXT_TOKENS,
    ) -> AIAnalyst:
        time = self.time
        selector = KeySelector(self.transport, keys, models, requests_per_minute, lambda: time.now, time.sleep)
        return AIAnalyst(selector, deadline_seconds, context_tokens, "English")


def analysis_input(*said: str) -> AnalysisInput:
    """Return the customer's lines, followed by one of the business."""
    lines = [TranscriptLine(NOW, SpeakerRole.CUSTOMER, text) for text in said or ("How much is it?",)]
    answer = TranscriptLine(NOW, SpeakerRole.BUSINESS, "500", ("[image]",))
    return AnalysisInput(Transcript(Platform.MESSENGER, (*lines, answer)), NOW, TEMPLATES[0].stages)
