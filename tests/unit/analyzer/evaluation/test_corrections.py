"""The agreement of analyses with what people set."""

from __future__ import annotations

import pytest

from services.analyzer.evaluation.corrections import agreements, corrections, worst
from shared.contract.contacts import AnalysisSource, Contact, LeadStatus, StageRef, StageType
from tests.support.contacts import analysis, contact


def person_set(verdict: LeadStatus, *, confidence: int = 80, source: str = "ai", **fields: object) -> Contact:
    made = contact(verdict=analysis(60, verdict, confidence=confidence, source=AnalysisSource(source)))
    return made.model_copy(update={**fields, "edited": tuple(fields)})


def stage(kind: StageType) -> StageRef:
    return StageRef(pipeline="Sales", name=f"a stage {kind}", type=kind)


def test_a_status_agrees_only_if_it_is_the_same() -> None:
    same = person_set(LeadStatus.WON, lead_status=LeadStatus.WON)
    other = person_set(LeadStatus.WON, lead_status=LeadStatus.NEGOTIATING)
    assert [each.agrees for made in (same, other) for each in corrections(made)] == [True, False]


@pytest.mark.parametrize(
    ("kind", "agrees"),
    [
        (StageType.WON, [True]),
        (StageType.LOST, [False]),
        (StageType.IN_PROGRESS, [False]),
        (StageType.ARCHIVED, []),
    ],
)
def test_a_stage_agrees_if_its_outcome_is_that_of_the_status(kind: StageType, agrees: list[bool]) -> None:
    assert [each.agrees for each in corrections(person_set(LeadStatus.WON, stage=stage(kind)))] == agrees


def test_fields_that_no_person_set_are_left_out() -> None:
    assert list(corrections(contact())) == []
    assert list(corrections(person_set(LeadStatus.WON, notes="a friend"))) == []


def test_shares_are_by_source_and_the_surest_mistake_is_the_worst() -> None:
    made = [
        person_set(LeadStatus.WON, lead_status=LeadStatus.WON, confidence=99),
        person_set(LeadStatus.WON, lead_status=LeadStatus.LOST, confidence=60),
        person_set(LeadStatus.WON, lead_status=LeadStatus.NEW, confidence=95),
        person_set(LeadStatus.NEW, lead_status=LeadStatus.LOST, source="fallback", confidence=40),
    ]
    found = [each for one in made for each in corrections(one)]
    by_source = {each.group: (each.cases, each.share) for each in agreements(found) if each.by == "source"}
    assert by_source == {"ai": (3, 1 / 3), "fallback": (1, 0)}
    assert [each.confidence for each in worst(found, 2)] == [95, 60]
