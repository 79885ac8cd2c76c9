"""The fallback's local model: the features of the fast one and what a sentence encoder says of the wording."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.analysis.fallback.features import Features
from services.analyzer.analysis.fallback.model import Model, load_model
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.analysis.fallback.wording import Wording
from services.analyzer.analysis.local.encoder import SentenceEncoder
from services.analyzer.analysis.local.sentences import with_sentences
from shared.contract.contacts import Verdict

PACKAGE = "services.analyzer.analysis.local"


class LocalScorer(FallbackScorer):
    """Scores in one thread of its own, which takes one core at most: the event loop goes on meanwhile."""

    def __init__(self, encoder: SentenceEncoder, model: Model | None = None, wording: Wording | None = None) -> None:
        super().__init__(model=model or load_model(PACKAGE), wording=wording)
        self._encoder = encoder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="local-model")

    async def analyse(self, analysis_input: AnalysisInput) -> Verdict:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.score, analysis_input)

    def read(self, analysis_input: AnalysisInput) -> Features:
        features = super().read(analysis_input)
        return with_sentences(features, analysis_input.transcript.lines, self._encoder)
