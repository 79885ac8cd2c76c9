"""The fallback scorer: better than the one it replaces, explained, deterministic."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.analyzer.analyst import Brief, Line, Role, Transcript
from services.analyzer.fallback import FallbackScorer
from shared.contacts import AnalysisSource, LeadStatus
from shared.ids import Platform
from tests.unit.analysts.labelled import labelled, measure
from tests.unit.analysts.original_scorer import original_score

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SCORER = FallbackScorer()


def talk(*lines: str, quiet: timedelta = timedelta(hours=1)) -> Brief:
    """`>` is the customer and `<` the business; the last line was `quiet` ago."""
    last = NOW - quiet
    made = [
        Line(
            last - timedelta(minutes=len(lines) - 1 - place),
            Role.CUSTOMER if text[0] == ">" else Role.BUSINESS,
            text[2:],
        )
        for place, text in enumerate(lines)
    ]
    return Brief(Transcript(Platform.MESSENGER, tuple(made)), NOW)


def ours(brief: Brief) -> tuple[int, LeadStatus]:
    verdict = SCORER.score(brief)
    return verdict.lead_score, verdict.lead_status


def test_it_beats_the_original_on_every_measure() -> None:
    mine, original = measure(ours), measure(original_score)
    assert mine.in_interval > original.in_interval
    assert mine.in_band > original.in_band
    assert mine.in_status > original.in_status
    assert mine.rank_correlation > original.rank_correlation


def test_the_business_own_words_do_not_count() -> None:
    quiet = talk("> hi", "< How can we help?")
    loud = talk("> hi", "< Want to buy? The price of delivery is available, order now, urgent payment quote!")
    assert ours(quiet) == ours(loud)


def test_words_count_whole() -> None:
    assert ours(talk("> we crossed the border today")) == ours(talk("> we crossed the river today"))


@pytest.mark.parametrize(
    ("brief", "status"),
    [
        (talk("> how much is the sofa", "< 500", "> not interested, thanks"), LeadStatus.LOST),
        (talk("> magkano po", "< 500 po", "> hindi na po, nakabili na sa iba"), LeadStatus.LOST),
        (talk("> how much", "< 500", "> I'll take it", "< ok", "> paid already, here's the receipt"), LeadStatus.WON),
        (talk("> magkano po", "< 500", "> nabayaran ko na po, eto po yung resibo"), LeadStatus.WON),
        (talk("> cuánto cuesta", "< 500", "> me lo llevo", "< listo", "> ya pagué"), LeadStatus.WON),
        (talk("> hi", "< hello?", "< are you there?", quiet=timedelta(days=9)), LeadStatus.UNRESPONSIVE),
        (talk("> 👋"), LeadStatus.NEW),
    ],
)
def test_statuses_are_told_in_several_languages(brief: Brief, status: LeadStatus) -> None:
    assert SCORER.score(brief).lead_status is status


def test_negation_turns_interest_round() -> None:
    assert ours(talk("> I need a sofa"))[0] > ours(talk("> I do not need a sofa"))[0]


def test_a_refusal_that_was_taken_back_is_none() -> None:
    brief = talk(
        "> cancel it please", "< ok", "> we're back on, I'll take it", "< great", "> how do I pay", "> see you"
    )
    assert SCORER.score(brief).lead_status is not LeadStatus.LOST


@pytest.mark.parametrize("case", list(labelled()), ids=lambda case: case.id)
def test_every_verdict_is_in_bounds_marked_and_explained(case: object) -> None:
    brief: Brief = getattr(case, "brief")  # noqa: B009
    verdict = SCORER.score(brief)
    assert 1 <= verdict.lead_score <= 80
    assert verdict.source is AnalysisSource.FALLBACK
    assert "base +20" in verdict.reasoning
    assert 3 <= verdict.summary.count(".") <= 6
    assert verdict == SCORER.score(brief)


def test_nothing_the_customer_wrote_is_quoted() -> None:
    verdict = SCORER.score(talk("> my secret is xyzzy42 and how much is it"))
    assert "xyzzy42" not in verdict.model_dump_json()


def test_a_conversation_of_attachments_alone_has_a_score() -> None:
    brief = talk("> x")
    only = replace(brief.transcript.lines[0], text="", marks=("[image]",))
    assert SCORER.score(replace(brief, transcript=Transcript(Platform.INSTAGRAM, (only,)))).lead_score >= 1


def test_the_clock_is_an_argument() -> None:
    brief = talk("> how much")
    later = replace(brief, now=NOW + timedelta(days=60))
    assert SCORER.score(later).lead_score < SCORER.score(brief).lead_score


def test_a_wall_of_text_is_no_problem() -> None:
    assert SCORER.score(talk("> " + "how much " * 200_000)).lead_score <= 80
