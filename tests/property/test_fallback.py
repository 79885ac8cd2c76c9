"""The fallback scorer has a verdict on every conversation."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole, Transcript, TranscriptLine
from services.analyzer.analysis.fallback import tokenizer
from services.analyzer.analysis.fallback.lexicon import load_lexicon, phrases_of, read_languages
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.analysis.fallback.tokenizer import MAX_CHARS
from shared.contract.contacts import Band, LeadStatus, band
from shared.contract.ids import Platform

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SCORER, ANOTHER = FallbackScorer(), FallbackScorer()
LEXICON = load_lexicon()
LANGUAGES = read_languages()
PHRASES = sorted(
    {
        phrase.replace("~", "of the").rstrip(".")
        for language in LANGUAGES.values()
        for table in ("signals", "business")
        for block in language.get(table, {}).values()
        for phrase in phrases_of(block)
    }
)

texts = st.one_of(
    st.text(max_size=60), st.lists(st.sampled_from([*PHRASES, "not", "no.", "500"]), max_size=6).map(" ".join)
)
marks = st.sampled_from([(), ("[image]",), ("[file]",), ("[voice]", "[customer reacted ❤]")])
lines = st.builds(TranscriptLine, st.just(NOW), st.sampled_from(SpeakerRole), texts, marks)
briefs = st.builds(
    lambda made, platform, days: AnalysisInput(Transcript(platform, tuple(made)), NOW + timedelta(days=days)),
    st.lists(lines, min_size=1, max_size=12),
    st.sampled_from(Platform),
    st.integers(0, 400),
)


def with_line(analysis_input: AnalysisInput, line: TranscriptLine) -> AnalysisInput:
    return replace(
        analysis_input, transcript=replace(analysis_input.transcript, lines=(*analysis_input.transcript.lines, line))
    )


GREETING = AnalysisInput(Transcript(Platform.MESSENGER, (TranscriptLine(NOW, SpeakerRole.CUSTOMER, "hi"),)), NOW)
ANSWERED_GREETING = with_line(GREETING, TranscriptLine(NOW, SpeakerRole.BUSINESS, ""))


@given(briefs)
def test_a_verdict_does_not_contradict_itself(analysis_input: AnalysisInput) -> None:
    verdict = SCORER.score(analysis_input)
    low, high = {LeadStatus.WON: (85, 100), LeadStatus.LOST: (1, 20)}.get(verdict.lead_status, (1, 100))
    assert low <= verdict.lead_score <= high
    assert verdict.summary
    assert verdict.reasoning


@given(briefs)
def test_the_evidence_is_lines_of_the_customer(analysis_input: AnalysisInput) -> None:
    lines = tuple(
        replace(line, message_id=f"{line.role}-{place}") for place, line in enumerate(analysis_input.transcript.lines)
    )
    identified = replace(analysis_input, transcript=replace(analysis_input.transcript, lines=lines))
    known = {line.message_id for line in lines if line.role is SpeakerRole.CUSTOMER}
    evidence = SCORER.score(identified).evidence or ()
    assert set(evidence) <= known
    assert len(set(evidence)) == len(evidence)


@example(ANSWERED_GREETING, "agli baar")
@example(ANSWERED_GREETING, "cancel kar diya")
@given(briefs, texts)
def test_a_customer_who_only_greets_is_cold_whatever_the_business_says(
    analysis_input: AnalysisInput, said: str
) -> None:
    lines = tuple(
        replace(line, text=said, marks=())
        if line.role is SpeakerRole.BUSINESS
        else TranscriptLine(NOW, SpeakerRole.CUSTOMER, "hi")
        for line in analysis_input.transcript.lines
    )
    greeted = replace(analysis_input, transcript=replace(analysis_input.transcript, lines=lines))
    assert band(SCORER.score(greeted).lead_score) is Band.COLD


@given(briefs)
def test_a_refusal_with_thanks_ends_a_conversation(analysis_input: AnalysisInput) -> None:
    refused = SCORER.score(with_line(analysis_input, TranscriptLine(NOW, SpeakerRole.CUSTOMER, "👎 🙏")))
    assert refused.lead_status is LeadStatus.LOST
    assert refused.lead_score <= 20


@pytest.mark.parametrize("signal", ["price", "need", "order", "commit", "paid", "visit", "negotiate", "budget"])
def test_a_negated_phrase_never_counts(signal: str) -> None:
    english = LEXICON.bits["en"]
    for phrase in phrases_of(LANGUAGES["en"]["signals"][signal]):
        hits = LEXICON.hits(LEXICON.split(f"zz not {phrase.replace('~', '').rstrip('.')}"), english)
        assert not [hit for hit in hits if hit.phrase == phrase and not hit.negated], phrase


@pytest.mark.parametrize("number", [10, 1_000, 5_000])
def test_each_text_is_split_once(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: Counter[str] = Counter()
    plain = tokenizer._plain

    def counting(text: str) -> str:
        texts[text] += 1
        return plain(text)

    monkeypatch.setattr(tokenizer, "_plain", counting)
    lines = tuple(TranscriptLine(NOW, role, "how much is it") for _ in range(number // 2) for role in SpeakerRole)
    SCORER.score(AnalysisInput(Transcript(Platform.MESSENGER, lines), NOW))
    assert texts == {"how much is it": number}


@settings(max_examples=settings().max_examples // 10)
@given(st.text(max_size=40), st.integers(1, 3))
def test_text_after_the_limit_is_not_read(text: str, times: int) -> None:
    wall = ("ab " * MAX_CHARS)[:MAX_CHARS]
    one, more = (
        with_line(GREETING, TranscriptLine(NOW, SpeakerRole.CUSTOMER, wall + end)) for end in ("", f" {text}" * times)
    )
    assert SCORER.score(one).lead_status is SCORER.score(more).lead_status


@given(briefs)
def test_the_same_input_always_gives_the_same_verdict(analysis_input: AnalysisInput) -> None:
    assert SCORER.score(analysis_input) == ANOTHER.score(analysis_input)
