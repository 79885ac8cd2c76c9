"""The fallback scorer has a verdict on every conversation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole, Transcript, TranscriptLine
from services.analyzer.analysis.fallback.lexicon import Lexicon, load_lexicon, phrases_of, read_languages
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.analysis.fallback.tokenizer import MAX_CHARS, Words
from shared.contract.contacts import LeadStatus
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
def test_the_score_is_1_to_80_unless_it_is_won(analysis_input: AnalysisInput) -> None:
    verdict = SCORER.score(analysis_input)
    won = verdict.lead_status is LeadStatus.WON
    assert (85 if won else 1) <= verdict.lead_score <= (100 if won else 80)
    assert verdict.confidence < 70, "too low to take a contact out of WON or LOST"
    if verdict.lead_status is LeadStatus.LOST:
        assert verdict.lead_score <= 20
    assert verdict.summary
    assert verdict.reasoning


@given(briefs, texts, marks)
def test_a_line_of_the_business_never_raises_the_score(
    analysis_input: AnalysisInput, said: str, marked: tuple[str, ...]
) -> None:
    told = with_line(analysis_input, TranscriptLine(NOW, SpeakerRole.BUSINESS, said, marked))
    assert SCORER.score(told).lead_score <= SCORER.score(analysis_input).lead_score


@example(ANSWERED_GREETING, "agli baar")
@example(ANSWERED_GREETING, "cancel kar diya")
@given(briefs, texts)
def test_the_business_does_not_change_the_score_of_a_greeting(analysis_input: AnalysisInput, said: str) -> None:
    lines = tuple(
        replace(line, text=said, marks=())
        if line.role is SpeakerRole.BUSINESS
        else TranscriptLine(NOW, SpeakerRole.CUSTOMER, "hi")
        for line in analysis_input.transcript.lines
    )
    quiet = tuple(replace(line, text="hello") if line.role is SpeakerRole.BUSINESS else line for line in lines)
    told, untold = (
        replace(analysis_input, transcript=replace(analysis_input.transcript, lines=each)) for each in (lines, quiet)
    )
    assert SCORER.score(told) == SCORER.score(untold)


@given(briefs)
def test_a_refusal_at_the_end_never_raises_the_score(analysis_input: AnalysisInput) -> None:
    refused = SCORER.score(with_line(analysis_input, TranscriptLine(NOW, SpeakerRole.CUSTOMER, "👎")))
    assert refused.lead_score <= SCORER.score(analysis_input).lead_score
    assert refused.lead_status is LeadStatus.LOST


@pytest.mark.parametrize("signal", ["price", "need", "order", "commit", "paid", "visit", "negotiate", "budget"])
def test_a_negated_phrase_never_counts(signal: str) -> None:
    english = LEXICON.bits["en"]
    for phrase in phrases_of(LANGUAGES["en"]["signals"][signal]):
        hits = LEXICON.hits(LEXICON.split(f"zz not {phrase.replace('~', '').rstrip('.')}"), english)
        assert not [hit for hit in hits if hit.phrase == phrase and not hit.negated], phrase


@dataclass(frozen=True)
class CountingLexicon(Lexicon):
    read: Counter[str] = field(default_factory=Counter)

    def split(self, text: str) -> Words:
        self.read["texts"] += 1
        words = super().split(text)
        self.read["words"] += len(words.words)
        return words


@pytest.mark.parametrize("number", [10, 1_000, 5_000])
def test_each_text_is_split_once(number: int) -> None:
    counting = CountingLexicon(*(getattr(LEXICON, each.name) for each in fields(Lexicon)))
    lines = tuple(TranscriptLine(NOW, role, "how much is it") for _ in range(number // 2) for role in SpeakerRole)
    FallbackScorer(counting).score(AnalysisInput(Transcript(Platform.MESSENGER, lines), NOW))
    assert counting.read == {"texts": number, "words": 4 * number}


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
