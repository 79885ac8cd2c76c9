"""What an edit leaves possible for the conversation as it stood then."""

from __future__ import annotations

from collections.abc import Set

import pytest

from services.analyzer.training.owner_labels import NO_LEAD_STATUSES, STILL_OPEN, OwnerLabel, owner_labels
from shared.contract.contacts import Band, LeadStatus, StageType
from shared.domain.contact_edits import ContactEdit, edited
from shared.domain.corrections import correction_of
from shared.domain.messages import fold_all
from shared.domain.pipelines import Pipeline, Stage
from tests.support.contacts import SALES, contact
from tests.support.making import answered, at, said, unsent

COLD, WARM, HOT, READY = Band
EVENTS = [said("How much?", 60), answered("500", 120), said("I take it", 180), said("Where do I pay?", 240)]


def labels(edit: ContactEdit, seconds: float = 1_000, pipeline: Pipeline | None = SALES) -> list[OwnerLabel]:
    """Return the labels of one edit that is made at `seconds`."""
    made = contact(events=EVENTS, staged=False)
    change = edited(made, edit, pipeline, at(seconds))
    assert change
    correction = correction_of(made, change)
    return owner_labels(change.contact, [correction] if correction else [], fold_all(EVENTS).values(), pipeline)


@pytest.mark.parametrize(
    ("edit", "bands", "statuses"),
    [
        (ContactEdit(status=LeadStatus.WON), {READY}, {LeadStatus.WON}),
        (ContactEdit(status=LeadStatus.NEW), {COLD, WARM}, {LeadStatus.NEW}),
        (ContactEdit(stage="Closed Lost"), {COLD}, {LeadStatus.LOST}),
        (ContactEdit(stage="New Lead"), {COLD}, STILL_OPEN),
        (ContactEdit(stage="Qualified"), {WARM}, STILL_OPEN),
        (ContactEdit(stage="Negotiating"), {HOT, READY}, STILL_OPEN),
        (ContactEdit(tags_added=("not a lead",)), {COLD}, NO_LEAD_STATUSES),
        (ContactEdit(status=LeadStatus.QUALIFIED, stage="Qualified"), {WARM}, {LeadStatus.QUALIFIED}),
        (ContactEdit(status=LeadStatus.WON, stage="Closed Lost"), {READY}, {LeadStatus.WON}),
    ],
)
def test_a_label_has_what_the_edit_leaves_possible(
    edit: ContactEdit, bands: Set[Band], statuses: Set[LeadStatus]
) -> None:
    [label] = labels(edit)
    assert label.bands == bands
    assert label.statuses == statuses


def test_an_archived_contact_is_no_label() -> None:
    archive = Pipeline(name="P", stages=(Stage(name="Old", type=StageType.ARCHIVED),))
    assert labels(ContactEdit(stage="Old"), pipeline=archive) == []


def test_the_conversation_is_as_it_stood_then() -> None:
    [label] = labels(ContactEdit(status=LeadStatus.NEGOTIATING), 200)
    assert [line.text for line in label.analysis_input.transcript.lines] == ["How much?", "500", "I take it"]
    assert label.analysis_input.now == at(200)
    assert labels(ContactEdit(status=LeadStatus.NEGOTIATING), 30) == []


def test_what_was_unsent_since_is_not_learned_from() -> None:
    made = contact(events=EVENTS)
    change = edited(made, ContactEdit(status=LeadStatus.WON), SALES, at(1_000))
    assert change
    correction = correction_of(made, change)
    assert correction
    messages = fold_all([*EVENTS, unsent("m_180", 2_000)]).values()
    [label] = owner_labels(change.contact, [correction], messages, SALES)
    assert "I take it" not in [line.text for line in label.analysis_input.transcript.lines]
