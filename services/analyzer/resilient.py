"""The AI first, the fallback scorer where the AI cannot: every conversation gets a verdict (promise 5)."""

from __future__ import annotations

import structlog

from services.analyzer.analyst import Analyst, Brief
from shared.contacts import Verdict
from shared.failures import TransientError

log = structlog.get_logger()


class ResilientAnalyst:
    """`source` of the verdict says which of the two it came from; what the fallback said the AI may say again later."""

    has_ai = True

    def __init__(self, preferred: Analyst, fallback: Analyst) -> None:
        self._preferred = preferred
        self._fallback = fallback

    async def analyse(self, brief: Brief) -> Verdict:
        return await self.analyse_by_ai(brief) or await self._fallback.analyse(brief)

    async def analyse_by_ai(self, brief: Brief) -> Verdict | None:
        """None when the AI is not to be had now; never the fallback's verdict."""
        try:
            return await self._preferred.analyse(brief)
        except TransientError as error:
            log.warning("ai_not_to_be_had", reason=str(error))
            return None
