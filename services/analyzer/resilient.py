"""The AI first, the fallback scorer where the AI cannot: every conversation gets a verdict (promise 5)."""

from __future__ import annotations

import structlog

from services.analyzer.analyst import Analyst, Brief
from shared.contacts import Verdict
from shared.failures import TransientError

log = structlog.get_logger()


class ResilientAnalyst:
    """`source` of the verdict says which of the two it came from."""

    def __init__(self, preferred: Analyst, fallback: Analyst) -> None:
        self._preferred = preferred
        self._fallback = fallback

    async def analyse(self, brief: Brief) -> Verdict:
        try:
            return await self._preferred.analyse(brief)
        except TransientError as error:
            log.warning("fallback_used", reason=str(error))
            return await self._fallback.analyse(brief)
