"""The agreement of analyses with what people set."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.analyzer.evaluation.corrections import Comparison, agreements, comparisons, worst
from shared.contract.contacts import AnalysisSource, Contact, LeadStatus, StageRef, StageType
from shared.domain.corrections import AnalysisThen, Correction
from tests.support.contacts import analysis, contact
from tests.support.making import at


def compared(
    verdict: LeadStatus, *, confidence: int = 80, source: str = "ai", model: str | None = None, **said: object
) -> Sequence[Comparison]:
    """Return the comparisons of one edit of a contact; its analysis has changed since."""
    then = analysis(60, verdict, confidence=confidence, source=AnalysisSource(source), model=model)
    correction = Correction.model_validate({"at": at(0), "analysis": AnalysisThen.of(then), **said})
    return list(comparisons(edited_contact(correction), [correction]))


def edited_contact(correction: Correction) -> Contact:
    fields = {"lead_status": correction.status, "stage": correction.stage}
    by_person = {name: value for name, value in fields.items() if value}
    tags = ("not a lead",) if correction.not_a_lead else ()
    return contact().model_copy(update={**by_person, "edited": tuple(by_person), "tags": tags})


def stage(kind: StageType) -> StageRef:
    return StageRef(pipeline="Sales", name=f"a stage {kind}", type=kind, set_by="person")


def test_a_status_agrees_only_if_it_is_the_same() -> None:
    made = [*compared(LeadStatus.WON, status=LeadStatus.WON), *compared(LeadStatus.WON, status=LeadStatus.NEGOTIATING)]
    assert [each.agrees for each in made] == [True, False]


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
    assert [each.agrees for each in compared(LeadStatus.WON, stage=stage(kind))] == agrees


def test_who_is_no_lead_has_to_be_cold() -> None:
    assert [(each.by_analysis, each.agrees) for each in compared(LeadStatus.NEW, not_a_lead=True)] == [("warm", False)]


def test_an_edit_before_the_first_analysis_is_left_out() -> None:
    assert compared(LeadStatus.WON, status=LeadStatus.WON, analysis=None) == []


def test_shares_are_by_model_so_that_an_accounts_own_can_be_watched() -> None:
    found = [
        *compared(LeadStatus.WON, source="fallback", model="fast", status=LeadStatus.LOST),
        *compared(LeadStatus.WON, source="fallback", model="fast #1", status=LeadStatus.WON),
    ]
    by_model = {each.group: each.share for each in agreements(found) if each.by == "model"}
    assert by_model == {"fallback, fast": 0, "fallback, fast #1": 1}


def test_shares_are_by_source_and_the_surest_mistake_is_the_worst() -> None:
    found = [
        *compared(LeadStatus.WON, status=LeadStatus.WON, confidence=99),
        *compared(LeadStatus.WON, status=LeadStatus.LOST, confidence=60),
        *compared(LeadStatus.WON, status=LeadStatus.NEW, confidence=95),
        *compared(LeadStatus.NEW, status=LeadStatus.LOST, source="fallback", confidence=40),
    ]
    by_source = {each.group: (each.cases, each.share) for each in agreements(found) if each.by == "source"}
    assert by_source == {"ai": (3, 1 / 3), "fallback": (1, 0)}
    assert [each.confidence for each in worst(found, 2)] == [95, 60]
