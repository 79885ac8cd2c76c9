"""The local model: its verdicts, its choice by the setting, and the event loop while it works."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from services.analyzer.analysis import fallbacks
from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole, Transcript, TranscriptLine
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.analysis.fallbacks import compose_fallback
from services.analyzer.analysis.local.encoder import DIMENSIONS, SentenceEncoder, Vectors
from services.analyzer.analysis.local.scorer import LocalScorer
from shared.contract.contacts import AnalysisSource
from shared.contract.failures import WrongSettingsError
from shared.contract.ids import Platform

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOCAL = compose_fallback("local")


def conversation(*texts: str) -> AnalysisInput:
    """The customer and the business take turns; the customer begins."""
    lines = tuple(
        TranscriptLine(
            NOW - timedelta(minutes=len(texts) - number),
            (SpeakerRole.CUSTOMER, SpeakerRole.BUSINESS)[number % 2],
            text,
            message_id=f"m{number}",
        )
        for number, text in enumerate(texts)
    )
    return AnalysisInput(Transcript(Platform.MESSENGER, lines), NOW)


def test_a_sale_without_a_word_of_the_lexicon_is_above_a_farewell() -> None:
    offer = ("Do you have the blue one?", "Yes, 40 with delivery tomorrow. Shall I put your name on it?")
    nod = LOCAL.score(conversation(*offer, "count me in"))
    farewell = LOCAL.score(conversation(*offer, "nah my cousin gave me hers"))
    assert nod.lead_score > farewell.lead_score


def test_a_verdict_names_its_model_and_its_lines() -> None:
    verdict = LOCAL.score(conversation("How much is the sofa?", "500, delivered", "ok deal, I'll pay now"))
    assert verdict.source is AnalysisSource.FALLBACK
    assert verdict.model is not None
    assert verdict.model.startswith("fallback-local-")
    assert verdict.evidence is not None
    assert set(verdict.evidence) <= {"m0", "m2"}


def test_the_same_conversation_gets_the_same_verdict_whatever_was_encoded_before() -> None:
    case = conversation("magkano po", "500 po", "sige po kunin ko na")
    assert LOCAL.score(case) == compose_fallback("local").score(case)


async def test_the_event_loop_goes_on_while_it_encodes() -> None:
    is_encoding, may_end = threading.Event(), threading.Event()

    def encode(texts: list[str]) -> Vectors:
        is_encoding.set()
        assert may_end.wait(10)
        return np.zeros((len(texts), DIMENSIONS), np.float32)

    analysis = asyncio.create_task(LocalScorer(SentenceEncoder(encode)).analyse(conversation("hello")))
    while not is_encoding.is_set():
        await asyncio.sleep(0)
    may_end.set()
    assert (await analysis).source is AnalysisSource.FALLBACK


def test_without_the_extra_the_fast_model_scores_and_local_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallbacks, "find_spec", lambda _: None)
    assert type(compose_fallback("auto")) is FallbackScorer
    with pytest.raises(WrongSettingsError, match=r"pip install 'leadstream\[local\]'"):
        compose_fallback("local")


def test_the_setting_chooses() -> None:
    assert type(compose_fallback("fast")) is FallbackScorer
    assert type(compose_fallback("auto")) is LocalScorer
