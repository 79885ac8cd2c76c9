"""The fallback of all accounts: the shipped model, or the one that an account's owner has turned on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol

import structlog

from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.analysis.fallback.account_model import account_model
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from shared.contract.contacts import Verdict
from shared.domain.account_models import AccountModel

REFRESH_SECONDS = 10.0
"""How long it takes at most until a model that was turned on or off counts."""

log = structlog.get_logger()


class ModelsInUse(Protocol):
    async def in_use(self) -> dict[str, int]: ...

    async def load(self, account: str, number: int) -> AccountModel | None: ...


class AccountFallback:
    """A model that does not fit this release's weights is ignored, with one line in the log."""

    def __init__(self, shipped: FallbackScorer, models: ModelsInUse, seconds: Callable[[], float] = monotonic) -> None:
        self._shipped = shipped
        self._models = models
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._refresh_at = 0.0
        self._scorers: dict[tuple[str, int], FallbackScorer] = {}
        self._in_use: dict[str, int] = {}

    async def analyse(self, analysis_input: AnalysisInput) -> Verdict:
        async with self._lock:
            if (now := self._seconds()) >= self._refresh_at:
                await self._refresh()
                self._refresh_at = now + REFRESH_SECONDS
        number = self._in_use.get(analysis_input.account, 0)
        scorer = self._scorers.get((analysis_input.account, number), self._shipped)
        return await scorer.analyse(analysis_input)

    async def _refresh(self) -> None:
        in_use = await self._models.in_use()
        known = self._scorers
        self._scorers = {key: known[key] if key in known else await self._scorer(*key) for key in in_use.items()}
        self._in_use = in_use

    async def _scorer(self, account: str, number: int) -> FallbackScorer:
        try:
            own = await self._models.load(account, number)
            if own is None:
                return self._shipped
            return self._shipped.with_model(account_model(self._shipped.model, own))
        except ValueError as error:
            log.warning(
                "account_model_ignored", account=account, number=number, reason=str(error), remedy="leadstream train"
            )
            return self._shipped
