"""Fitting the learned words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole, Transcript, TranscriptLine
from services.analyzer.analysis.fallback.tokenizer import split
from services.analyzer.analysis.fallback.wording import ACTS, OUTPUTS
from services.analyzer.evaluation.measures import Label
from services.analyzer.evaluation.transcripts_file import TranscriptCase
from services.analyzer.training.labelled import LabelledConversation, read_author
from services.analyzer.training.wording import MIN_LINES, fit_wording, read_keys
from shared.contract.contacts import Band, LeadStatus
from shared.contract.ids import Platform

START = datetime(2026, 12, 1, tzinfo=UTC)
READY = Label(85, 99, frozenset({LeadStatus.WON}), Band.READY, LeadStatus.WON)
COLD = Label(1, 20, frozenset({LeadStatus.LOST}), Band.COLD, LeadStatus.LOST)


def conversation(text: str, act: str, label: Label) -> LabelledConversation:
    lines = tuple(
        TranscriptLine(START + timedelta(minutes=place), role, said)
        for place, (role, said) in enumerate([(SpeakerRole.BUSINESS, "bueno"), (SpeakerRole.CUSTOMER, text)])
    )
    read = AnalysisInput(Transcript(Platform.MESSENGER, lines), START + timedelta(hours=1))
    return LabelledConversation("a", TranscriptCase(text, read, label, "xx", (), ("", act)), label)


LABELLED = [conversation("blip now", "pay", READY), conversation("blop now", "refuse", COLD)] * MIN_LINES


@pytest.mark.parametrize(("text", "act", "band"), [("blip", "pay", Band.READY), ("blop", "refuse", Band.COLD)])
def test_words_are_learned_from_acts_and_labels(text: str, act: str, band: Band) -> None:
    wording = fit_wording(read_keys(LABELLED))
    lines = conversation(text, act, READY).analysis_input.transcript.lines
    reading = wording.read(lines, [split(line.text) for line in lines], [None, frozenset()])
    assert ACTS[int(reading.acts[0].argmax())] == act
    assert OUTPUTS[int(reading.outputs[: len(Band)].argmax())] is band


def test_a_rare_word_has_no_weight() -> None:
    rare = [conversation("once now", "pay", READY)] * (MIN_LINES - 1)
    tables = fit_wording(read_keys(LABELLED + rare)).tables
    assert "once" not in tables[SpeakerRole.CUSTOMER].keys
    assert {"blip", "blop", "now"} <= tables[SpeakerRole.CUSTOMER].keys.keys()


def test_the_same_conversations_give_the_same_weights() -> None:
    first, second = (fit_wording(read_keys(LABELLED)).to_data() for _ in range(2))
    assert first == second


def test_acts_are_read_in_the_order_of_the_transcript() -> None:
    line = b"""{"id": "1", "platform": "messenger", "now": "2026-12-01T10:00:00Z", "messages": [
        {"at": "2026-12-01T09:02:00Z", "from": "customer", "text": "paid", "act": "pay"},
        {"at": "2026-12-01T09:01:00Z", "from": "customer", "text": " ", "act": "chat"},
        {"at": "2026-12-01T09:00:00Z", "from": "customer", "text": "how much", "act": "ask"},
        {"at": "2026-12-01T09:01:00Z", "from": "business", "text": "450"}],
        "label": {"score_low": 85, "score_high": 99, "statuses": ["WON"], "band": "ready"}}"""
    (read,) = read_author("a", [line])
    assert read.case.acts == ("ask", "", "pay")
