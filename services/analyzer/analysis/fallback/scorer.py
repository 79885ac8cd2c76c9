"""The deterministic analyst for conversations that no AI analyses. Pure; the time is part of the input.

Features of the conversation go through a learned model (ADR 16); a few facts that are nearly always right override it.
`shared/domain/routing.py` then decides which pipeline stage a contact with that status gets.
"""

from __future__ import annotations

import asyncio
from copy import copy
from typing import Self

from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.analysis.fallback.decision import decide
from services.analyzer.analysis.fallback.features import Features, conversation_features
from services.analyzer.analysis.fallback.lexicon import Lexicon, load_lexicon
from services.analyzer.analysis.fallback.model import Model, load_model, load_wording
from services.analyzer.analysis.fallback.overrides import find_override
from services.analyzer.analysis.fallback.reasons import find_reasons
from services.analyzer.analysis.fallback.texts import explain, next_action, summarise
from services.analyzer.analysis.fallback.wording import Wording
from shared.contract.contacts import AnalysisSource, Verdict

MAX_INLINE_LINES = 2_000
"""These are scored in 0.1 s; more are scored in a thread."""


class FallbackScorer:
    def __init__(
        self, lexicon: Lexicon | None = None, model: Model | None = None, wording: Wording | None = None
    ) -> None:
        self._lexicon = lexicon or load_lexicon()
        self._model = model or load_model()
        self._wording = wording or load_wording()

    @property
    def model(self) -> Model:
        return self._model

    def with_model(self, model: Model) -> Self:
        """Return the same scorer with another model of the same features."""
        other = copy(self)
        other._model = model
        return other

    async def analyse(self, analysis_input: AnalysisInput) -> Verdict:
        """Score in a thread if it may take seconds, so that leases and the consumer group are kept alive."""
        if len(analysis_input.transcript.lines) > MAX_INLINE_LINES:
            return await asyncio.to_thread(self.score, analysis_input)
        return self.score(analysis_input)

    def score(self, analysis_input: AnalysisInput) -> Verdict:
        """Return the verdict, always the same for the same input, in microseconds per message."""
        lines = analysis_input.transcript.lines
        features = self.read(analysis_input)
        override = find_override(lines, features.seen, analysis_input.now)
        decision = decide(self._model.predict(features.values), self._model.calibration, override)
        reasons = find_reasons(features, self._model.linear.contributions(features.values, decision.band))
        signals = frozenset(features.seen.last)
        return Verdict(
            summary=summarise(analysis_input.transcript, signals, decision),
            lead_score=decision.score,
            lead_status=decision.status,
            confidence=decision.confidence,
            reasoning=explain(decision, reasons, features.acts, override),
            evidence=tuple(lines[index].message_id for index in reasons.lines if lines[index].message_id),
            recommended_stage=None,
            language=features.seen.language,
            next_action=next_action(decision.status, signals),
            source=AnalysisSource.FALLBACK,
            model=self._model.name,
        )

    def read(self, analysis_input: AnalysisInput) -> Features:
        """Return what the model weighs."""
        return conversation_features(analysis_input.transcript.lines, analysis_input.now, self._lexicon, self._wording)
