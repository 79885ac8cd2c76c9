"""What people say of a contact, beside what its analysis said then. Pure.

A status or a stage that a person sets, and the tag `not a lead`, are labels: `leadstream evaluate` compares analyses
with them and `leadstream train` learns from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from shared.contract.contacts import Analysis, AnalysisSource, Change, Contact, LeadStatus, StageRef
from shared.contract.events import ContractModel, Instant
from shared.domain.contact_edits import AutomaticField

NOT_A_LEAD = "not a lead"
"""The tag of job seekers, suppliers and spam."""


class AnalysisThen(ContractModel):
    """The analysis in force when a person edited the contact."""

    score: int
    status: LeadStatus
    confidence: int
    source: AnalysisSource
    model: str | None = None

    @classmethod
    def of(cls, analysis: Analysis) -> Self:
        return cls(
            score=analysis.lead_score,
            status=analysis.lead_status,
            confidence=analysis.confidence,
            source=analysis.source,
            model=analysis.model,
        )


class Correction(ContractModel):
    """What one edit said: the status and the stage that it set, and whether it said that this is no lead."""

    at: Instant
    status: LeadStatus | None = None
    stage: StageRef | None = None
    not_a_lead: bool = False
    analysis: AnalysisThen | None = None

    @property
    def says_something(self) -> bool:
        return self.status is not None or self.stage is not None or self.not_a_lead


def correction_of(before: Contact | None, change: Change) -> Correction | None:
    """Return what a version that no worker made says; None when it sets no status, no stage and no such tag."""
    contact = change.contact
    stage = contact.stage if AutomaticField.STAGE in change.changed and AutomaticField.STAGE in contact.edited else None
    correction = Correction(
        at=contact.updated_at,
        status=contact.lead_status if AutomaticField.STATUS in change.changed else None,
        stage=stage,
        not_a_lead=is_not_a_lead(contact.tags) and not (before and is_not_a_lead(before.tags)),
        analysis=AnalysisThen.of(contact.analysis) if contact.analysis else None,
    )
    return correction if correction.says_something else None


def standing(contact: Contact, corrections: Sequence[Correction]) -> list[Correction]:
    """Return the corrections, oldest first, without what the person has changed or taken back since."""
    found: list[Correction] = []
    status, not_a_lead = contact.lead_status, is_not_a_lead(contact.tags)
    stage = contact.stage if AutomaticField.STAGE in contact.edited else None
    for each in sorted(corrections, key=lambda correction: correction.at, reverse=True):
        kept = each.model_copy(
            update={
                "status": each.status if each.status is status else None,
                "stage": each.stage if each.stage and stage and each.stage.is_same(stage) else None,
                "not_a_lead": each.not_a_lead and not_a_lead,
            }
        )
        status = None if each.status else status
        stage = None if each.stage else stage
        not_a_lead = not_a_lead and not each.not_a_lead
        if kept.says_something:
            found.append(kept)
    return found[::-1]


def is_not_a_lead(tags: Iterable[str]) -> bool:
    return any(tag.casefold() == NOT_A_LEAD for tag in tags)
