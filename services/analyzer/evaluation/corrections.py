"""How often analyses agree with what people set. Pure.

A person's status is compared with that of the analysis in force when they set it. A person's stage says only whether a
deal is won, lost or open, so that is compared; an archived contact says nothing. Who is tagged as no lead has to be
cold. People set what they find wrong more often than what is right, so the shares compare analysts and months; they are
not the share of all contacts that is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.analyzer.evaluation.uncertainty import Interval, wilson
from shared.contract.contacts import Band, Contact, LeadStatus, StageType, band
from shared.domain.contact_edits import AutomaticField
from shared.domain.corrections import NOT_A_LEAD, AnalysisThen, Correction, standing

NO_OUTCOME = "open"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a person said, beside the analysis then. `month` is that of the edit: 2026-05."""

    contact_id: str
    field: str
    by_person: str
    by_analysis: str
    agrees: bool
    source: str
    model: str
    stage: str
    month: str
    score: int
    confidence: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """The share of the comparisons in a group in which the analysis agrees, with its 95 % interval."""

    by: str
    group: str
    cases: int
    share: float
    interval: Interval


def comparisons(contact: Contact, corrections: Sequence[Correction]) -> Iterator[Comparison]:
    """Yield what the person said that still holds; nothing of an edit before the first analysis."""
    for each in standing(contact, corrections):
        if each.analysis:
            yield from _compared(contact, each, each.analysis)


def agreements(found: Sequence[Comparison]) -> list[Agreement]:
    """Return the agreement by source, by model, by field, by stage and by month."""
    keys: dict[str, Callable[[Comparison], str]] = {
        "source": lambda each: each.source,
        "model": lambda each: f"{each.source}, {each.model}",
        "field": lambda each: f"{each.source}, {each.field}",
        "stage": lambda each: f"{each.source}, {each.stage}",
        "month": lambda each: f"{each.source}, {each.month}",
    }
    return [each for by, key in keys.items() for each in _by(by, key, found)]


def worst(found: Iterable[Comparison], limit: int) -> list[Comparison]:
    """Return the comparisons of which the analysis was the surest, and wrong."""
    wrong = [each for each in found if not each.agrees]
    return sorted(wrong, key=lambda each: (-each.confidence, each.contact_id))[:limit]


def _compared(contact: Contact, correction: Correction, then: AnalysisThen) -> Iterator[Comparison]:
    status, stage, at = then.status, correction.stage, correction.at
    if person := correction.status:
        yield _comparison(contact, at, then, AutomaticField.STATUS, person, status, agrees=person is status)
    if stage and stage.type is not StageType.ARCHIVED:
        agrees = _outcome(stage.type) == _outcome(status)
        yield _comparison(contact, at, then, AutomaticField.STAGE, stage.name, status, agrees=agrees)
    if correction.not_a_lead:
        found = band(then.score)
        yield _comparison(contact, at, then, "tag", NOT_A_LEAD, found, agrees=found is Band.COLD)


def _comparison(
    contact: Contact, at: datetime, then: AnalysisThen, field: str, person: str, machine: str, *, agrees: bool
) -> Comparison:
    return Comparison(
        contact_id=contact.contact_id,
        field=field,
        by_person=person,
        by_analysis=machine,
        agrees=agrees,
        source=then.source,
        model=then.model or "unknown model",
        stage=contact.stage.name if contact.stage else "no stage",
        month=f"{at:%Y-%m}",
        score=then.score,
        confidence=then.confidence,
    )


def _by(by: str, key: Callable[[Comparison], str], found: Sequence[Comparison]) -> list[Agreement]:
    groups: dict[str, list[bool]] = {}
    for each in found:
        groups.setdefault(key(each), []).append(each.agrees)
    return [
        Agreement(by, group, len(agrees), sum(agrees) / len(agrees), wilson(sum(agrees), len(agrees)))
        for group, agrees in sorted(groups.items())
    ]


def _outcome(of: LeadStatus | StageType) -> str:
    return of.value if of.value in {StageType.WON, StageType.LOST} else NO_OUTCOME
