"""How often analyses agree with what people set. Pure.

A person's status is compared with that of the analysis in force. A person's stage says only whether a deal is won, lost
or open, so that is compared; an archived contact says nothing. People set what they find wrong more often than what is
right, so the shares compare analysts and months; they are not the share of all contacts that is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.analyzer.evaluation.uncertainty import Interval, wilson
from shared.contract.contacts import Contact, LeadStatus, StageType
from shared.domain.contact_edits import AutomaticField

COMPARED = (AutomaticField.STATUS, AutomaticField.STAGE)
NO_OUTCOME = "open"


@dataclass(frozen=True, slots=True)
class Correction:
    """A field that a person set, beside the analysis in force. `month` is that of the analysis: 2026-05."""

    contact_id: str
    field: str
    by_person: str
    by_analysis: str
    agrees: bool
    source: str
    stage: str
    month: str
    score: int
    confidence: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """The share of the corrections in a group in which the analysis agrees, with its 95 % interval."""

    by: str
    group: str
    cases: int
    share: float
    interval: Interval


def corrections(contact: Contact) -> Iterator[Correction]:
    """Yield what a person set of a contact; nothing without an analysis."""
    analysis, stage = contact.analysis, contact.stage
    if analysis is None:
        return

    def correction(field: str, person: str, machine: str, agrees: bool) -> Correction:
        return Correction(
            contact_id=contact.contact_id,
            field=field,
            by_person=person,
            by_analysis=machine,
            agrees=agrees,
            source=analysis.source,
            stage=stage.name if stage else "no stage",
            month=f"{analysis.analysed_at:%Y-%m}",
            score=analysis.lead_score,
            confidence=analysis.confidence,
        )

    status = analysis.lead_status
    if AutomaticField.STATUS in contact.edited and contact.lead_status:
        yield correction(AutomaticField.STATUS, contact.lead_status, status, contact.lead_status is status)
    if AutomaticField.STAGE in contact.edited and stage and stage.type is not StageType.ARCHIVED:
        yield correction(AutomaticField.STAGE, stage.name, status, _outcome(stage.type) == _outcome(status))


def agreements(found: Sequence[Correction]) -> list[Agreement]:
    """Return the agreement by source, by field, by stage and by month."""
    keys: dict[str, Callable[[Correction], str]] = {
        "source": lambda each: each.source,
        "field": lambda each: f"{each.source}, {each.field}",
        "stage": lambda each: f"{each.source}, {each.stage}",
        "month": lambda each: f"{each.source}, {each.month}",
    }
    return [each for by, key in keys.items() for each in _by(by, key, found)]


def worst(found: Iterable[Correction], limit: int) -> list[Correction]:
    """Return the corrections of which the analysis was the surest, and wrong."""
    wrong = [each for each in found if not each.agrees]
    return sorted(wrong, key=lambda each: (-each.confidence, each.contact_id))[:limit]


def _by(by: str, key: Callable[[Correction], str], found: Sequence[Correction]) -> list[Agreement]:
    groups: dict[str, list[bool]] = {}
    for each in found:
        groups.setdefault(key(each), []).append(each.agrees)
    return [
        Agreement(by, group, len(agrees), sum(agrees) / len(agrees), wilson(sum(agrees), len(agrees)))
        for group, agrees in sorted(groups.items())
    ]


def _outcome(of: LeadStatus | StageType) -> str:
    return of.value if of.value in {StageType.WON, StageType.LOST} else NO_OUTCOME
