"""Ask the AI first and the fallback scorer when the AI fails, so that every conversation gets a verdict (promise 5)."""

from __future__ import annotations

import structlog

from services.analyzer.analysis.analyst import AnalysisInput, Analyst, NoVerdictError
from shared.contract.contacts import Verdict
from shared.contract.failures import TransientError

log = structlog.get_logger()


class ResilientAnalyst:
    """A verdict's `source` says which of the two made it. Without an AI the fallback makes all of them.

    With an AI an analysis may take long, and the AI analyses again later what the fallback has analysed.
    """

    def __init__(self, ai: Analyst | None, fallback: Analyst) -> None:
        self._ai = ai
        self._fallback = fallback

    @property
    def has_ai(self) -> bool:
        return self._ai is not None

    async def analyse(self, analysis_input: AnalysisInput) -> Verdict:
        """Return the AI's verdict, or the fallback's with the cost of the failed calls to the AI."""
        if self._ai is None:
            return await self._fallback.analyse(analysis_input)
        try:
            return await self._ai.analyse(analysis_input)
        except TransientError as error:
            _log_failure(error)
            verdict = await self._fallback.analyse(analysis_input)
            return error.cost.added_to(verdict) if isinstance(error, NoVerdictError) else verdict

    async def analyse_by_ai(self, analysis_input: AnalysisInput) -> Verdict | None:
        """Return the AI's verdict, never the fallback's. None when the AI fails or there is none."""
        if self._ai is None:
            return None
        try:
            return await self._ai.analyse(analysis_input)
        except TransientError as error:
            _log_failure(error)
            return None


def _log_failure(error: TransientError) -> None:
    log.warning("no_verdict_by_ai", reason=str(error))
