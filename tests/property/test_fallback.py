"""Whatever a conversation says, the fallback scorer has a verdict for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.analyzer.analyst import Brief, Line, Role, Transcript
from services.analyzer.fallback import FallbackScorer
from services.analyzer.lexicon import load_lexicon
from shared.contacts import LeadStatus
from shared.ids import Platform

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SCORER = FallbackScorer()
PHRASES = sorted({" ".join(phrase) for group in load_lexicon().phrases.values() for phrase, _ in group})

texts = st.one_of(
    st.text(max_size=60), st.lists(st.sampled_from([*PHRASES, "not", "no.", "500"]), max_size=6).map(" ".join)
)
marks = st.sampled_from([(), ("[image]",), ("[file]",), ("[voice]", "[customer reacted ❤]")])
lines = st.builds(Line, st.just(NOW), st.sampled_from(Role), texts, marks)
briefs = st.builds(
    lambda made, platform, days: Brief(Transcript(platform, tuple(made)), NOW + timedelta(days=days)),
    st.lists(lines, min_size=1, max_size=12),
    st.sampled_from(Platform),
    st.integers(0, 400),
)


@given(briefs)
def test_the_score_is_1_to_80_and_goes_with_the_status(brief: Brief) -> None:
    verdict = SCORER.score(brief)
    assert 1 <= verdict.lead_score <= 80
    assert verdict.confidence < 70, "never enough to take a contact out of WON or LOST"
    if verdict.lead_status is LeadStatus.LOST:
        assert verdict.lead_score <= 20
    assert verdict.summary
    assert verdict.reasoning


@given(briefs, texts)
def test_what_the_business_says_changes_nothing_of_the_score(brief: Brief, said: str) -> None:
    told = tuple(replace(line, text=said) if line.role is Role.BUSINESS else line for line in brief.transcript.lines)
    assert SCORER.score(replace(brief, transcript=replace(brief.transcript, lines=told))) == SCORER.score(brief)


@given(briefs)
def test_the_same_brief_always_gives_the_same_verdict(brief: Brief) -> None:
    assert SCORER.score(brief) == FallbackScorer().score(brief)
