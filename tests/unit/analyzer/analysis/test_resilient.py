"""Every conversation gets a verdict, and a write is retried until the server is back."""

from __future__ import annotations

import pytest

from services.analyzer.analysis.analyst import (
    AnalysisCost,
    AnalysisInput,
    NoVerdictError,
    SpeakerRole,
    Transcript,
    TranscriptLine,
)
from services.analyzer.analysis.resilient import ResilientAnalyst
from shared.contract.contacts import AnalysisSource, LeadStatus, Verdict
from shared.contract.failures import TransientError
from shared.contract.ids import Platform
from shared.runtime.retry import retry_until_stopped
from shared.store.mongo import ConnectionFailure
from tests.support.making import EPOCH

BRIEF = AnalysisInput(
    Transcript(Platform.MESSENGER, (TranscriptLine(EPOCH, SpeakerRole.CUSTOMER, "How much?"),)), EPOCH
)


class Fixed:
    def __init__(self, source: AnalysisSource, error: Exception | None = None) -> None:
        self.source = source
        self.error = error

    async def analyse(self, analysis_input: AnalysisInput) -> Verdict:
        assert analysis_input is BRIEF
        if self.error:
            raise self.error
        return Verdict(
            summary="s", lead_score=50, lead_status=LeadStatus.NEW, confidence=1, reasoning="r", source=self.source
        )


@pytest.mark.parametrize(("error", "source"), [(None, AnalysisSource.AI), (TransientError(), AnalysisSource.FALLBACK)])
async def test_the_fallback_answers_only_if_the_ai_fails(error: Exception | None, source: AnalysisSource) -> None:
    analyst = ResilientAnalyst(Fixed(AnalysisSource.AI, error), Fixed(AnalysisSource.FALLBACK))
    assert (await analyst.analyse(BRIEF)).source is source


@pytest.mark.parametrize(("error", "source"), [(None, AnalysisSource.AI), (TransientError(), None)])
async def test_analyse_by_ai_never_returns_a_fallback_verdict(
    error: Exception | None, source: AnalysisSource | None
) -> None:
    analyst = ResilientAnalyst(Fixed(AnalysisSource.AI, error), Fixed(AnalysisSource.FALLBACK))
    verdict = await analyst.analyse_by_ai(BRIEF)
    assert (verdict and verdict.source) is source


async def test_the_fallbacks_verdict_has_the_cost_of_failed_ai_calls() -> None:
    error = NoVerdictError("rests", AnalysisCost(3, 1800, 240))
    analyst = ResilientAnalyst(Fixed(AnalysisSource.AI, error), Fixed(AnalysisSource.FALLBACK))
    verdict = await analyst.analyse(BRIEF)
    assert (verdict.retry_count, verdict.input_tokens, verdict.output_tokens) == (3, 1800, 240)
    assert verdict.source is AnalysisSource.FALLBACK


async def test_the_fallback_does_not_hide_a_permanent_error() -> None:
    with pytest.raises(KeyError):
        await ResilientAnalyst(Fixed(AnalysisSource.AI, KeyError()), Fixed(AnalysisSource.FALLBACK)).analyse(BRIEF)


async def test_only_temporary_errors_are_retried() -> None:
    outcomes: list[Exception | str] = [ConnectionFailure("away"), "done", KeyError("bug")]

    async def call() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert await retry_until_stopped(call, ConnectionFailure) == "done"
    with pytest.raises(KeyError):
        await retry_until_stopped(call, ConnectionFailure)
