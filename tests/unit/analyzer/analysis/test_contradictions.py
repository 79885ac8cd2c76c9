"""An answer that contradicts itself is taken on its careful side, with less confidence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.analyzer.analysis.ai.prompt import SCHEMA, assessment_request, transcript_rows
from services.analyzer.analysis.ai.response import read_verdict
from services.analyzer.analysis.ai.transport import ModelAnswer
from services.analyzer.analysis.analyst import AnalysisInput, Transcript
from shared.contract.contacts import LeadStatus, Verdict
from tests.support.asking_ai import analysis_input

ANSWER: dict[str, Any] = {
    "evidence": [2, 1], "last_act": "orders", "lead_band": "hot", "lead_score": 75, "lead_status": "QUALIFIED",
    "confidence": 80, "reasoning": "r", "summary": "s", "recommended_stage": "none",
}  # fmt: skip


def conversation() -> AnalysisInput:
    """Return two lines of the customer and one of the business, with the ids m1, m2 and m3."""
    given = analysis_input("How much?", "I take it")
    lines = tuple(replace(line, message_id=f"m{number}") for number, line in enumerate(given.transcript.lines, 1))
    return replace(given, transcript=Transcript(given.transcript.platform, lines))


def read(**changed: object) -> Verdict:
    return read_verdict(ModelAnswer(json.dumps({**ANSWER, **changed}), "m"), conversation())


def test_an_answer_without_contradictions_keeps_its_confidence_and_names_its_messages() -> None:
    verdict = read()
    assert (verdict.evidence, verdict.confidence) == (("m2", "m1"), 80)


@pytest.mark.parametrize(
    ("changed", "score", "status", "names"),
    [
        ({"lead_band": "warm", "lead_score": 40, "lead_status": "WON"}, 40, "NEGOTIATING", ["won_with_low_score"]),
        ({"lead_band": "ready", "lead_score": 90, "lead_status": "LOST"}, 60, "CONTACTED", ["lost_with_high_score"]),
        ({"lead_band": "warm", "lead_score": 90}, 60, "QUALIFIED", ["score_outside_band"]),
        ({"lead_band": "ready", "lead_score": 40}, 40, "QUALIFIED", ["score_outside_band"]),
        ({"recommended_stage": "Closed Won"}, 75, "QUALIFIED", ["stage_not_offered"]),
        ({"evidence": [2, 9]}, 75, "QUALIFIED", ["evidence_of_no_line"]),
        ({"evidence": [0, 2]}, 75, "QUALIFIED", ["evidence_of_no_line"]),
        ({"evidence": [3]}, 75, "QUALIFIED", ["evidence_of_business_only"]),
        (
            {"lead_band": "hot", "lead_score": 90, "lead_status": "WON"},
            80, "NEGOTIATING", ["score_outside_band", "won_with_low_score"],
        ),
    ],
)  # fmt: skip
def test_a_contradiction_halves_the_confidence_and_lifts_nothing(
    changed: dict[str, Any], score: int, status: str, names: list[str]
) -> None:
    with capture_logs() as logs:
        verdict = read(**changed)
    assert (verdict.lead_score, verdict.lead_status) == (score, LeadStatus(status))
    assert verdict.confidence == 80 // 2 ** len(names)
    assert [entry["contradictions"] for entry in logs] == [names]


@pytest.mark.parametrize(("status", "band", "score", "moved"), [("WON", "ready", 82, 85), ("LOST", "cold", 28, 20)])
def test_a_score_moves_to_the_bounds_of_its_status_within_its_band(
    status: str, band: str, score: int, moved: int
) -> None:
    verdict = read(lead_status=status, lead_band=band, lead_score=score)
    assert (verdict.lead_score, verdict.lead_status, verdict.confidence) == (moved, LeadStatus(status), 80)


def test_an_answer_to_an_older_prompt_is_still_read() -> None:
    older = {name: value for name, value in ANSWER.items() if name not in {"evidence", "last_act", "lead_band"}}
    verdict = read_verdict(ModelAnswer(json.dumps({**older, "recommended_stage": ""}), "m"), conversation())
    assert (verdict.lead_score, verdict.confidence) == (75, 80)
    assert (verdict.evidence, verdict.recommended_stage) == (None, None)


def test_a_stage_is_ignored_where_none_is_offered() -> None:
    without = replace(conversation(), stages=())
    verdict = read_verdict(ModelAnswer(json.dumps({**ANSWER, "recommended_stage": "Qualified"}), "m"), without)
    assert (verdict.recommended_stage, verdict.confidence) == (None, 80)


def test_the_request_numbers_lines_and_offers_the_open_stages_only() -> None:
    request = assessment_request(conversation(), transcript_rows(conversation()), "English")
    rows = [json.loads(line) for line in request.prompt.splitlines() if line.startswith("[")]
    assert [row[:2] for row in rows] == [[number, "Tue 2026-11-24 09:00:00"] for number in (1, 2, 3)]
    stages = request.schema["properties"]["recommended_stage"]["enum"]
    assert stages == ["New Lead", "Contacted", "Qualified", "Proposal Sent", "Negotiating", "none"]


def test_evidence_and_act_come_before_band_score_and_status() -> None:
    names = list(SCHEMA["properties"])
    assert names[:6] == ["evidence", "last_act", "reasoning", "lead_band", "lead_score", "lead_status"]
    assert SCHEMA["required"] == names, "a client may take the order from either"
