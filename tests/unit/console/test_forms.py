"""What people type."""

from __future__ import annotations

import pytest
from multidict import MultiDict

from services.console.accounts.form import WrongAccountError, chosen, new_account
from services.console.contacts.form import edit_of
from services.console.pipelines.form import PipelineForm, WrongPipelineError, form_of, pipeline_of, typed
from shared.contract.contacts import LeadStatus, StageType
from shared.domain.contact_edits import AutomaticField, ContactEdit, InvalidEditError, edited
from shared.domain.pipelines import TEMPLATES, Mode, Pipeline, fill_ranges
from tests.unit.console.rows import NOON, contact

ACCOUNT = {"platform": "messenger", "account_id": "371", "name": "The Page", "token": "EAAB-secret"}


def test_only_what_differs_from_what_was_shown_is_an_edit() -> None:
    form = {
        "name": "Maria",
        "was_name": "Maria",
        "notes": "a\r\nb",
        "was_notes": "a\nb",
        "status": "",
        "was_status": "",
    }
    assert edit_of(form) == ContactEdit()


def test_each_field_that_differs_is_one() -> None:
    form = {
        "name": "Maria Cruz", "was_name": "Maria", "stage": "Won", "was_stage": "New", "status": "WON",
        "was_status": "", "tags": "vip, b", "was_tags": "a, b", "notes": "called", "was_notes": "",
    }  # fmt: skip
    was = {"name": "Maria", "stage": "New", "status": "", "notes": ""}
    assert edit_of(form) == ContactEdit("Maria Cruz", "Won", LeadStatus.WON, "called", ("vip",), ("a",), was=was)


def test_an_emptied_status_is_the_machines_again() -> None:
    assert edit_of({"status": "", "was_status": "WON"}) == ContactEdit(
        given_back=frozenset({AutomaticField.STATUS}), was={"status": "WON"}
    )


def test_of_two_who_change_one_field_the_later_one_is_told_what_it_is_now() -> None:
    first = edited(
        contact("1", "Maria Santos"), edit_of({"name": "Maria Cruz", "was_name": "Maria Santos"}), None, NOON
    )
    assert first is not None
    with pytest.raises(InvalidEditError, match="'Maria Cruz' now") as told:
        edited(first.contact, edit_of({"name": "Maria Sy", "was_name": "Maria Santos"}), None, NOON)
    assert told.value.at == "name"


@pytest.mark.parametrize(
    "form",
    [
        {"name": "Maria Cruz", "was_name": "Maria Santos"},
        {"name": "Maria Santos", "was_name": "Maria Santos", "tags": "vip", "was_tags": ""},
        {"notes": "called", "was_notes": " by\r\nanother "},
        {"name": "Maria Sy"},
    ],
    ids=["who wants the same", "who left the field alone", "who has seen it", "who says not what they saw"],
)
def test_no_other_is_held_up_by_an_edit_of_the_same_contact(form: dict[str, str]) -> None:
    now = contact("1", "Maria Cruz", notes="by\nanother", tags=("b",))
    change = edited(now, edit_of(form), None, NOON)
    assert change is None or change.contact.version == 2


def test_giving_back_is_all_that_is_done_then() -> None:
    form = {"give_back": "name", "name": "Other", "was_name": "Maria"}
    assert edit_of(form) == ContactEdit(given_back=frozenset({AutomaticField.NAME}))


@pytest.mark.parametrize("form", [{"status": "KING"}, {"notes": "x" * 10_001}, {"name": "x" * 201}])
def test_what_cannot_be_is_refused(form: dict[str, str]) -> None:
    with pytest.raises(InvalidEditError):
        edit_of(form)


def test_an_account_has_its_token_encrypted() -> None:
    account = new_account(ACCOUNT, lambda token: f"<{len(token)}>")
    assert (account.key, account.page_id, account.encrypted_token) == ("messenger:371", "371", "<11>")


@pytest.mark.parametrize(
    "wrong",
    [
        {"platform": "telegram"}, {"account_id": ""}, {"account_id": "a b"}, {"token": ""}, {"token": "two words"},
        {"name": " "}, {"platform": "instagram"}, {"account_id": "EAAB" * 30}, {"page_id": "EAAB-secret!"},
    ],
)  # fmt: skip
def test_what_is_no_account_is_told_without_its_token(wrong: dict[str, str]) -> None:
    with pytest.raises(WrongAccountError) as told:
        new_account({**ACCOUNT, **wrong}, str)
    assert "EAAB" not in str(told.value)


def test_what_is_chosen_leaves_the_token_alone() -> None:
    account = new_account(ACCOUNT, lambda _token: "sealed")
    form = {"name": "New", "pipeline": "Sales", "mode": "UPDATE_EXISTING", "every": "6h"}
    after = chosen(account, form, ["Sales"])
    assert (after.pipeline, after.mode, after.every_seconds) == ("Sales", Mode.UPDATE_EXISTING, 21_600)
    assert after.encrypted_token == "sealed"


@pytest.mark.parametrize("wrong", [{"pipeline": "None such"}, {"mode": "?"}, {"every": "often"}, {"name": ""}])
def test_what_cannot_be_chosen_is_refused(wrong: dict[str, str]) -> None:
    form = {"name": "New", "pipeline": "", "mode": "SKIP_EXISTING", "every": "", **wrong}
    with pytest.raises(WrongAccountError):
        chosen(new_account(ACCOUNT, str), form, ["Sales"])


def fields(*stages: tuple[str, ...], name: str = "Sales") -> MultiDict[object]:
    form: MultiDict[object] = MultiDict(name=name)
    for number, stage in enumerate(stages, 1):
        cells = dict(zip(("name", "type", "low", "high", "made"), (*stage, "", "", "")[:5], strict=True))
        for column, value in {"place": str(number), **cells}.items():
            form.add(f"stage_{column}", value)
    return form


def sent(*stages: tuple[str, ...], name: str = "Sales") -> PipelineForm:
    return typed(fields(*stages, name=name))


def test_a_line_without_a_name_is_no_stage() -> None:
    made = pipeline_of(sent(("New", "LEAD"), ("", "LEAD"), ("Won", "WON")))
    assert [stage.name for stage in made.stages] == ["New", "Won"]


def test_a_range_is_a_persons_only_where_it_differs_from_the_one_that_was_made() -> None:
    made = pipeline_of(sent(("New", "LEAD", "1", "30", "1-30"), ("Open", "IN_PROGRESS", "40", "80", "31-80")))
    assert [stage.range_edited for stage in made.stages] == [False, True]
    ranges = [stage.range for stage in fill_ranges(made.stages)]
    assert [(each.low, each.high) for each in ranges if each] == [(1, 30), (40, 80)]


def test_where_a_person_sets_one_range_the_others_of_its_type_stay_as_they_stand() -> None:
    made = pipeline_of(
        sent(("Open", "IN_PROGRESS", "31", "60", "31-55"), ("Later", "IN_PROGRESS", "61", "80", ""),
             ("Won", "WON", "81", "100", "81-100"))
    )  # fmt: skip
    assert [stage.range_edited for stage in made.stages] == [True, True, False]


def test_places_order_the_stages() -> None:
    form = fields(("New", "LEAD"), ("Won", "WON"))
    form.popall("stage_place")
    for place in ("2", "1"):
        form.add("stage_place", place)
    assert [stage.type for stage in pipeline_of(typed(form)).stages] == [StageType.WON, StageType.LEAD]


def test_a_form_that_is_sent_as_it_was_shown_changes_nothing() -> None:
    sales = TEMPLATES[0]
    assert Pipeline(name="Sales", stages=fill_ranges(pipeline_of(form_of(sales)).stages)) == sales


@pytest.mark.parametrize(
    "form",
    [
        sent(),
        sent(("New", "LEAD"), ("New", "LEAD")),
        sent(("New", "KING")),
        sent(("New", "LEAD", "9", "3")),
        sent(("New", "LEAD", "9")),
        sent(("New", "LEAD", "-1", "3")),
        sent(("New", "LEAD", "1", "101")),
        sent(("New", "LEAD"), name=" "),
    ],
)
def test_what_is_no_pipeline_is_refused(form: PipelineForm) -> None:
    with pytest.raises(WrongPipelineError):
        pipeline_of(form)


def test_what_is_wrong_is_told_of_its_line() -> None:
    form = sent(("New", "LEAD"), ("Won", "WON", "90", "80"))
    with pytest.raises(WrongPipelineError) as told:
        pipeline_of(form)
    assert told.value.line is form.lines[1]


def test_a_form_that_is_not_whole_is_none() -> None:
    with pytest.raises(WrongPipelineError):
        typed(MultiDict(name="Sales", stage_name="New"))
