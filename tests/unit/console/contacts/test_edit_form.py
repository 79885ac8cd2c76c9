"""The edit form of a contact."""

from __future__ import annotations

import pytest

from services.console.contacts.form import edit_of
from shared.contract.contacts import LeadStatus
from shared.domain.contact_edits import AutomaticField, ContactEdit, InvalidEditError, edited
from tests.unit.console.rows import NOON, contact


def test_unchanged_fields_are_no_edit() -> None:
    form = {
        "name": "Maria",
        "was_name": "Maria",
        "notes": "a\r\nb",
        "was_notes": "a\nb",
        "status": "",
        "was_status": "",
    }
    assert edit_of(form) == ContactEdit()


def test_each_changed_field_is_part_of_the_edit() -> None:
    form = {
        "name": "Maria Cruz", "was_name": "Maria", "stage": "Won", "was_stage": "New", "status": "WON",
        "was_status": "", "tags": "vip, b", "was_tags": "a, b", "notes": "called", "was_notes": "",
    }  # fmt: skip
    was = {"name": "Maria", "stage": "New", "status": "", "notes": ""}
    assert edit_of(form) == ContactEdit("Maria Cruz", "Won", LeadStatus.WON, "called", ("vip",), ("a",), was=was)


def test_an_emptied_status_is_released_to_the_analysis() -> None:
    assert edit_of({"status": "", "was_status": "WON"}) == ContactEdit(
        given_back=frozenset({AutomaticField.STATUS}), was={"status": "WON"}
    )


def test_the_later_of_two_edits_of_a_field_is_refused_with_its_present_value() -> None:
    first = edited(
        contact("1", "Maria Santos"), edit_of({"name": "Maria Cruz", "was_name": "Maria Santos"}), None, NOON
    )
    assert first is not None
    with pytest.raises(InvalidEditError, match="'Maria Cruz' now") as refused:
        edited(first.contact, edit_of({"name": "Maria Sy", "was_name": "Maria Santos"}), None, NOON)
    assert refused.value.at == "name"


@pytest.mark.parametrize(
    "form",
    [
        {"name": "Maria Cruz", "was_name": "Maria Santos"},
        {"name": "Maria Santos", "was_name": "Maria Santos", "tags": "vip", "was_tags": ""},
        {"notes": "called", "was_notes": " by\r\nanother "},
        {"name": "Maria Sy"},
    ],
    ids=["the same value", "another field", "the present value seen", "nothing seen"],
)
def test_an_edit_that_does_not_conflict_is_accepted(form: dict[str, str]) -> None:
    now = contact("1", "Maria Cruz", notes="by\nanother", tags=("b",))
    change = edited(now, edit_of(form), None, NOON)
    assert change is None or change.contact.version == 2


def test_giving_a_field_back_ignores_the_other_fields() -> None:
    form = {"give_back": "name", "name": "Other", "was_name": "Maria"}
    assert edit_of(form) == ContactEdit(given_back=frozenset({AutomaticField.NAME}))


@pytest.mark.parametrize("form", [{"status": "KING"}, {"notes": "x" * 10_001}, {"name": "x" * 201}])
def test_an_impossible_edit_is_refused(form: dict[str, str]) -> None:
    with pytest.raises(InvalidEditError):
        edit_of(form)


def test_the_button_not_a_lead_adds_its_tag_and_nothing_else() -> None:
    assert edit_of({"not_a_lead": "yes", "name": "Other"}) == ContactEdit(tags_added=("not a lead",))
