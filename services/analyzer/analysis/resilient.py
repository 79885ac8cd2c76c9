"""The AI first, the fallback scorer where the AI cannot: every conversation gets a verdict (promise 5)."""

from __future__ import annotations

import structlog

from services.analyzer.analysis.analyst import AnalysisInput, Analyst, NoVerdictError
from shared.contract.contacts import Verdict
from shared.contract.failures import TransientError

log = structlog.get_logger()


class ResilientAnalyst:
    """`source` of the verdict says which of the two it came from; what the fallback said the AI may say again later."""

    has_ai = True

    def __init__(self, preferred: Analyst, fallback: Analyst) -> None:
        self._preferred = preferred
        self._fallback = fallback

    async def analyse(self, brief: AnalysisInput) -> Verdict:
        """The fallback's verdict says how often the AI was asked for it in vain, and what that cost."""
        try:
            return await self._preferred.analyse(brief)
        except TransientError as error:
            _tell(error)
            verdict = await self._fallback.analyse(brief)
            return error.spent.on(verdict) if isinstance(error, NoVerdictError) else verdict

    async def analyse_by_ai(self, brief: AnalysisInput) -> Verdict | None:
        """None when the AI is not to be had now; never the fallback's verdict."""
        try:
            return await self._preferred.analyse(brief)
        except TransientError as error:
            _tell(error)
            return None


def _tell(error: TransientError) -> None:
    log.warning("no_verdict_by_ai", reason=str(error))
