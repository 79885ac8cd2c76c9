"""What an edit says of a contact, and what of it still holds."""

from __future__ import annotations

import pytest

from shared.contract.contacts import Change, Contact, LeadStatus
from shared.domain.contact_edits import AutomaticField, ContactEdit, edited
from shared.domain.corrections import Correction, correction_of, standing
from tests.support.contacts import SALES, contact
from tests.support.making import at

LOST = ContactEdit(status=LeadStatus.LOST)
NOT_A_LEAD = ContactEdit(tags_added=("Not a lead",))


def after(*edits: ContactEdit) -> tuple[Contact, list[Correction]]:
    """Return the contact after the edits, a minute apart, and what they said."""
    made, found = contact(), list[Correction]()
    for minute, edit in enumerate(edits):
        change = edited(made, edit, SALES, at(1_000 + 60 * minute))
        assert change
        if correction := correction_of(made, change):
            found.append(correction)
        made = change.contact
    return made, found


def said(correction: Correction) -> tuple[str | None, str | None, bool]:
    return correction.status, correction.stage.name if correction.stage else None, correction.not_a_lead


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (LOST, ("LOST", None, False)),
        (ContactEdit(stage="Closed Won"), (None, "Closed Won", False)),
        (ContactEdit(status=LeadStatus.WON, stage="Closed Won"), ("WON", "Closed Won", False)),
        (NOT_A_LEAD, (None, None, True)),
    ],
)
def test_an_edit_says_what_it_sets(edit: ContactEdit, expected: tuple[str | None, str | None, bool]) -> None:
    [correction] = after(edit)[1]
    assert said(correction) == expected
    assert correction.at == at(1_000)
    assert correction.analysis
    assert (correction.analysis.score, correction.analysis.status) == (60, LeadStatus.QUALIFIED)


@pytest.mark.parametrize(
    "edit", [ContactEdit(notes="a friend"), ContactEdit(tags_added=("vip",)), ContactEdit(name="M")]
)
def test_other_edits_say_nothing(edit: ContactEdit) -> None:
    assert after(edit)[1] == []


def test_a_second_tag_does_not_say_again_that_this_is_no_lead() -> None:
    assert len(after(NOT_A_LEAD, ContactEdit(tags_added=("spam",)))[1]) == 1


def test_a_new_version_by_no_person_says_nothing() -> None:
    moved = contact().model_copy(update={"version": 2, "stage": None})
    assert correction_of(moved, Change(contact(), ("stage",), None)) is None


def test_what_a_person_changes_or_takes_back_no_longer_holds() -> None:
    other = ContactEdit(status=LeadStatus.NEGOTIATING)
    made, found = after(LOST, ContactEdit(stage="Closed Lost"), NOT_A_LEAD, other)
    assert [said(each) for each in standing(made, found)] == [
        (None, "Closed Lost", False),
        (None, None, True),
        ("NEGOTIATING", None, False),
    ]
    back = ContactEdit(given_back=frozenset({AutomaticField.STATUS, AutomaticField.STAGE}))
    made, found = after(LOST, ContactEdit(stage="Closed Lost"), NOT_A_LEAD, back)
    assert [said(each) for each in standing(made, found)] == [(None, None, True)]
    made, found = after(NOT_A_LEAD, ContactEdit(tags_removed=("Not a lead",)))
    assert standing(made, found) == []
