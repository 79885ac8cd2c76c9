"""The fallback scorer: better than the one it replaces, explained, deterministic."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest

from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole, Transcript, TranscriptLine
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.evaluation.transcripts_file import TranscriptCase
from shared.contract.contacts import AnalysisSource, LeadStatus
from shared.contract.ids import Platform
from tests.unit.analyzer.analysis.labelled import GIVEN, held_out_cases, labelled, measures
from tests.unit.analyzer.analysis.original_scorer import original_score

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SCORER = FallbackScorer()


def talk(*lines: str, quiet: timedelta = timedelta(hours=1)) -> AnalysisInput:
    """Return a conversation: `>` is the customer, `<` the business; the last line was `quiet` ago."""
    last = NOW - quiet
    made = [
        TranscriptLine(
            last - timedelta(minutes=len(lines) - 1 - place),
            SpeakerRole.CUSTOMER if text[0] == ">" else SpeakerRole.BUSINESS,
            text[2:],
        )
        for place, text in enumerate(lines)
    ]
    return AnalysisInput(Transcript(Platform.MESSENGER, tuple(made)), NOW)


def ours(analysis_input: AnalysisInput) -> tuple[int, LeadStatus]:
    verdict = SCORER.score(analysis_input)
    return verdict.lead_score, verdict.lead_status


@pytest.mark.parametrize("cases", [list(labelled(GIVEN)), held_out_cases()], ids=["given", "held back"])
def test_the_scorer_beats_the_original_on_every_measure(cases: list[TranscriptCase]) -> None:
    mine, original = asdict(measures(ours, cases)), asdict(measures(original_score, cases))
    assert all(mine[name] > original[name] + 0.3 for name in ("band", "status", "spearman"))


def test_the_scorer_meets_held_out_cases() -> None:
    found = asdict(measures(ours, held_out_cases()))
    assert all(found[name] > 0.8 for name in ("band", "status", "spearman"))


def test_the_business_words_do_not_count() -> None:
    quiet = talk("> hi", "< How can we help?")
    loud = talk("> hi", "< Want to buy? The price of delivery is available, order now, urgent payment quote!")
    assert ours(quiet) == ours(loud)


def test_only_whole_words_match() -> None:
    assert ours(talk("> we crossed the border today")) == ours(talk("> we crossed the river today"))


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (LeadStatus.WON, "> magkano po | < 500 | > nabayaran ko na po, eto po yung resibo"),
        (LeadStatus.WON, "> is it still available | < yes, 450 | > ok ill take it, 14 Park Row | < done | > thanks"),
        (LeadStatus.WON, "> magkano po yung cake | < 1800 po | > sige po order na ako, for Saturday | < ok po"),
        (LeadStatus.WON, "> hola precio? | < 500 | > lo quiero para el viernes | < anticipo? | > ya transferí"),
        (LeadStatus.WON, "> Oi, quanto custa? | < 120 | > Pode reservar um pra sábado. Fiz o pix agora"),
        (LeadStatus.WON, "> Bonjour, une chambre ? | < 90 € | > Parfait, je réserve. Virement effectué ce matin."),
        (LeadStatus.WON, "> Halo kak harga brownies berapa? | < 75rb | > Saya pesan 2 ya, sudah transfer"),
        (LeadStatus.WON, "> كم سعر الفستان | < 300 | > تمام باخذه | < العنوان؟ | > تم التحويل"),
        (LeadStatus.LOST, "> how much is the sofa | < 500 | > not interested, thanks"),
        (LeadStatus.LOST, "> do you have the M | < yes | > actually I found another one cheaper, thanks anyway"),
        (LeadStatus.LOST, "> pwede pa mag order | < opo | > ay pasensya po cancel ko na lang, nakabili na si misis"),
        (LeadStatus.LOST, "> cuánto sale | < 900 | > gracias pero ya no me interesa"),
        (LeadStatus.LOST, "> Quanto fica? | < 300 | > Obrigado mas já comprei em outro lugar"),
        (LeadStatus.LOST, "> Combien ? | < 80 € | > Non merci, c'est trop cher pour nous"),
        (LeadStatus.LOST, "> berapa harganya | < 200rb | > gak jadi kak, udah beli di tempat lain"),
        (LeadStatus.LOST, "> بكم | < 100 | > لا شكرا غالي"),
        (LeadStatus.LOST, "> Was kostet das? | < 400 | > Danke, wir haben uns anders entschieden"),
        (
            LeadStatus.NEGOTIATING,
            "> still available? | < 350k | > last price? | < 340 | > 330 cash, can come by Friday",
        ),
        (LeadStatus.CONTACTED, "> magkano po | < 500 | > ang mahal po pala. pag iisipan ko po muna"),
        (LeadStatus.CONTACTED, "> I still haven't received my order, I want my money back | < so sorry"),
        (LeadStatus.NEW, "> Hello, I am looking for a job, do you have any openings? | < no"),
        (LeadStatus.NEW, "> Hi! We help businesses grow your followers. How much is your budget? | < no"),
        (LeadStatus.NEW, "> 👋"),
    ],
)
def test_statuses_are_found_in_several_languages(status: LeadStatus, lines: str) -> None:
    assert SCORER.score(talk(*lines.split(" | "))).lead_status is status


def test_a_customer_who_ignores_two_messages_for_days_is_unresponsive() -> None:
    lines = "> how much is it", "< 30", "< still interested?"
    assert SCORER.score(talk(*lines, quiet=timedelta(days=9))).lead_status is LeadStatus.UNRESPONSIVE
    assert SCORER.score(talk(*lines, quiet=timedelta(days=1))).lead_status is LeadStatus.CONTACTED


def test_a_file_for_a_hot_lead_is_a_proposal() -> None:
    asked = "> how much for 80 guests on Friday?", "< see here", "> what does it include, can we visit tomorrow?"
    analysis_input = talk(*asked)
    customer, business, last = analysis_input.transcript.lines
    lines = (customer, replace(business, marks=("[file]",)), last)
    offered = replace(analysis_input, transcript=replace(analysis_input.transcript, lines=lines))
    assert SCORER.score(analysis_input).lead_status is LeadStatus.QUALIFIED
    assert SCORER.score(offered).lead_status is LeadStatus.PROPOSAL_SENT


@pytest.mark.parametrize(
    ("never", "lines"),
    [
        (LeadStatus.LOST, "> can I cancel later if plans change? | < yes | > cool. and how much for 2 nights"),
        (LeadStatus.LOST, "> no, the red one please. how much? | < 20"),
        (LeadStatus.LOST, "> I am not interested in the red one, how much is the blue? | < 20 | > and shipping?"),
        (LeadStatus.LOST, "> wag na po yung red, yung blue na lang | < 300 | > sige po, pwede pick up bukas?"),
        (LeadStatus.LOST, "> please don't cancel my order | < ok"),
        (LeadStatus.WON, "> I haven't paid the deposit yet, how much is it? | < 500 | > ok"),
        (LeadStatus.WON, "> I'll take it | < great | > hmm let me think about it first"),
        (LeadStatus.NEW, "> we are hiring a caterer, how much per person on June 5? | < 12"),
    ],
)
def test_single_words_of_a_refusal_or_deal_do_not_decide(never: LeadStatus, lines: str) -> None:
    assert SCORER.score(talk(*lines.split(" | "))).lead_status is not never


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (
            LeadStatus.WON,
            "> hi is the lamp there | < yes, 80 | > ok | < name and address please? | > Ann Bee, 14 Park Row",
        ),
        (LeadStatus.WON, "> can you come today? the sink leaks | < yes, 90, shall I book you in? | > yes please"),
        (
            LeadStatus.QUALIFIED,
            "> is the flat on Elm street free, price? | < 900, viewing Friday at 5? | > yes, Friday at 5",
        ),
        (LeadStatus.CONTACTED, "> how much is the lamp | < 80. do you want it? | > let me think about it"),
        (LeadStatus.CONTACTED, "> how much is the lamp | < 80. shall I book it? | > does it come in red?"),
    ],
)
def test_a_reply_is_read_by_what_was_asked(status: LeadStatus, lines: str) -> None:
    assert SCORER.score(talk(*lines.split(" | "))).lead_status is status


def test_a_picture_is_a_payment_only_if_one_was_asked_for() -> None:
    def answered_by_picture(asked: str) -> LeadStatus:
        analysis_input = talk("> how much is the red one", f"< {asked}", "> x")
        first, business, last = analysis_input.transcript.lines
        lines = (first, business, replace(last, text="", marks=("[image]",)))
        return SCORER.score(
            replace(analysis_input, transcript=replace(analysis_input.transcript, lines=lines))
        ).lead_status

    assert answered_by_picture("80, please send me the receipt") is LeadStatus.WON
    assert answered_by_picture("80, which one do you mean?") is not LeadStatus.WON


def test_an_apology_of_the_business_rules_out_a_purchase() -> None:
    said = "> hi, about the chair", "< hello", "> I paid 140 for that and it wobbles"
    assert ours(talk(*said, "< I am so sorry to hear"))[0] < ours(talk(*said, "< ok"))[0]


def test_a_negated_interest_does_not_count() -> None:
    assert ours(talk("> I need a sofa"))[0] > ours(talk("> I do not need a sofa"))[0]


def test_a_negation_ends_with_its_clause() -> None:
    assert ours(talk("> No. I need a sofa")) == ours(talk("> So. I need a sofa"))


def test_a_withdrawn_refusal_does_not_count() -> None:
    analysis_input = talk(
        "> cancel it please", "< ok", "> we're back on, I'll take it", "< great", "> how do I pay", "> see you"
    )
    assert SCORER.score(analysis_input).lead_status is not LeadStatus.LOST


@pytest.mark.parametrize("case", list(labelled()), ids=lambda case: case.id)
def test_every_verdict_is_in_bounds_marked_and_explained(case: TranscriptCase) -> None:
    verdict = SCORER.score(case.analysis_input)
    assert 1 <= verdict.lead_score <= (100 if verdict.lead_status is LeadStatus.WON else 80)
    assert verdict.source is AnalysisSource.FALLBACK
    points, total = verdict.reasoning.split(" in all")[0].rsplit("; ", 1)
    assert sum(int(point.rpartition(" ")[2]) for point in points.split(", ") if point[-1].isdigit()) == int(total)
    assert 3 <= verdict.summary.count(".") <= 5
    assert verdict == SCORER.score(case.analysis_input)


def test_a_verdict_quotes_nothing_of_the_customer() -> None:
    verdict = SCORER.score(talk("> my secret is xyzzy42 and how much is it"))
    assert "xyzzy42" not in verdict.model_dump_json()


def test_a_conversation_of_attachments_alone_has_a_score() -> None:
    analysis_input = talk("> x")
    only = replace(analysis_input.transcript.lines[0], text="", marks=("[image]",))
    assert SCORER.score(replace(analysis_input, transcript=Transcript(Platform.INSTAGRAM, (only,)))).lead_score >= 1


def test_the_time_is_part_of_the_input() -> None:
    analysis_input = talk("> how much")
    later = replace(analysis_input, now=NOW + timedelta(days=60))
    assert SCORER.score(later).lead_score < SCORER.score(analysis_input).lead_score


def test_a_very_long_text_is_scored() -> None:
    assert SCORER.score(talk("> " + "how much " * 200_000)).lead_score <= 80
