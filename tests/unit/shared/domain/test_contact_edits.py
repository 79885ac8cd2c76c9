"""A person's edits of a contact, and making fields automatic again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.analyzer.contact.merge import Placement, next_contact
from services.analyzer.conversation import Conversation
from shared.contract.contacts import (
    Analysis,
    AnalysisSource,
    Change,
    Contact,
    LeadStatus,
    Name,
    NameSource,
    StageRef,
    StageType,
)
from shared.contract.events import Source
from shared.domain.contact_edits import AutomaticField, ContactEdit, InvalidEditError, edited
from shared.domain.messages import StoredMessage, fold_all
from shared.domain.pipelines import Mode, template
from tests.support.making import EPOCH, MARIA, at, said

SALES = template("Sales")
CONVERSATION = Conversation(str(MARIA), MARIA.platform, MARIA.account_id, MARIA.customer_id)


def contact(status: LeadStatus = LeadStatus.QUALIFIED, score: int = 60) -> Contact:
    change = next_contact(None, CONVERSATION, messages(), analysis(status, score), Placement(SALES), at(10))
    assert change is not None
    return change.contact


def messages() -> list[StoredMessage]:
    named = said("How much?", 1, source=Source.BACKFILL, sender_name="Maria Santos")
    return list(fold_all([named]).values())


def analysis(status: LeadStatus, score: int) -> Analysis:
    return Analysis(
        summary="s", lead_score=score, lead_status=status, confidence=80, reasoning="because",
        source=AnalysisSource.AI, fingerprint=f"{status} {score}", messages_read=1, analysed_at=EPOCH,
    )  # fmt: skip


def edit(old: Contact, **what: object) -> Change:
    change = edited(old, ContactEdit(**what), SALES, at(60))  # type: ignore[arg-type]
    assert change is not None
    return change


def analysed(old: Contact, status: LeadStatus, score: int) -> Contact:
    """After another analysis, for an account whose contacts move."""
    placement = Placement(SALES, Mode.UPDATE_EXISTING)
    change = next_contact(old, CONVERSATION, messages(), analysis(status, score), placement, at(99))
    assert change is not None
    return change.contact


def test_an_edit_is_the_next_version_and_names_what_it_changed() -> None:
    old = contact()
    change = edit(old, name="Mary Ann Cruz", notes="call after five")
    assert change.contact.name == Name(first="Mary", last="Ann Cruz", source=NameSource.PERSON)
    assert (change.contact.version, change.contact.updated_at) == (2, at(60))
    assert change.contact.created_at == old.created_at
    assert set(change.changed) == {"name", "notes", "edited"}
    assert change.contact.edited == ("name", "notes")
    assert change.activity is None


def test_a_stage_set_by_a_person_is_an_activity_of_a_person() -> None:
    change = edit(contact(), stage="Negotiating")
    assert change.contact.stage == StageRef(
        pipeline="Sales", name="Negotiating", type=StageType.IN_PROGRESS, set_by="person"
    )
    activity = change.activity
    assert activity is not None
    assert (activity.from_stage, activity.to_stage, activity.source) == ("Proposal Sent", "Negotiating", "person")
    assert (activity.activity_id, activity.version, activity.at) == (f"{MARIA}#2", 2, at(60))
    assert (activity.score, activity.status, activity.confidence, activity.model) == (
        60,
        LeadStatus.QUALIFIED,
        None,
        None,
    )


def test_fixing_the_current_stage_is_no_activity() -> None:
    change = edit(contact(), stage="Proposal Sent")
    assert (change.changed, change.activity) == (("stage", "edited"), None)
    assert analysed(change.contact, LeadStatus.WON, 95).stage == change.contact.stage


def test_a_persons_status_wins_and_the_analysis_is_kept() -> None:
    change = edit(contact(), status=LeadStatus.NEGOTIATING)
    assert change.contact.status is LeadStatus.NEGOTIATING
    assert change.contact.analysis is not None
    assert change.contact.analysis.lead_status is LeadStatus.QUALIFIED
    assert set(change.changed) == {"lead_status", "edited"}
    again = analysed(change.contact, LeadStatus.LOST, 5)
    assert (again.status, again.analysis and again.analysis.lead_status) == (LeadStatus.NEGOTIATING, LeadStatus.LOST)
    assert again.stage is not None
    assert again.stage.type is not StageType.LOST


def test_the_next_analysis_routes_by_a_persons_status() -> None:
    won = edit(contact(), status=LeadStatus.WON).contact
    assert won.stage is not None
    assert won.stage.name == "Proposal Sent"
    moved = analysed(won, LeadStatus.QUALIFIED, 70)
    assert moved.stage is not None
    assert moved.stage.name == "Closed Won"


def test_tags_are_added_and_removed_once() -> None:
    tagged = edit(contact(), tags_added=("vip", " big  order ", "vip")).contact
    assert tagged.tags == ("vip", "big order")
    untagged = edit(tagged, tags_added=("new",), tags_removed=("vip", "never there")).contact
    assert untagged.tags == ("big order", "new")


def test_an_edit_without_effect_makes_no_version() -> None:
    old = edit(contact(), notes="x", tags_added=("vip",), name="Mary").contact
    for same in (
        ContactEdit(),
        ContactEdit(notes="x"),
        ContactEdit(tags_added=("vip",)),
        ContactEdit(tags_removed=("y",)),
        ContactEdit(name=" Mary "),
    ):
        assert edited(old, same, SALES, at(99)) is None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (ContactEdit(stage="Nowhere"), "has no stage 'Nowhere'; it has: New Lead, Contacted"),
        (ContactEdit(name="  "), "must not be empty"),
        (ContactEdit(tags_added=(" ",)), "must not be empty"),
        (ContactEdit(name="M" * 201), "a name has at most 200 characters, not 201"),
        (ContactEdit(notes="n" * 20_001), "notes have at most 20000 characters, not 20001"),
        (ContactEdit(tags_added=("t" * 101,)), "at most 100 tags of 100 characters"),
        (ContactEdit(tags_added=tuple(map(str, range(101)))), "at most 100 tags of 100 characters"),
        (
            ContactEdit(status=LeadStatus.WON, given_back=frozenset({AutomaticField.STATUS})),
            "either set lead_status or make it automatic",
        ),
    ],
)
def test_an_invalid_edit_is_refused_with_a_reason(wrong: ContactEdit, why: str) -> None:
    with pytest.raises(InvalidEditError, match=why):
        edited(contact(), wrong, SALES, at(60))


def test_a_stage_cannot_be_set_without_a_pipeline() -> None:
    with pytest.raises(InvalidEditError, match="no pipeline"):
        edited(contact(), ContactEdit(stage="Contacted"), None, at(60))


def test_an_automatic_name_is_replaced_by_one_that_is_found() -> None:
    mine = edit(contact(), name="Mary").contact
    back = edit(mine, given_back=frozenset({AutomaticField.NAME})).contact
    assert (back.name.full, back.edited) == ("Mary", ())
    assert analysed(back, LeadStatus.QUALIFIED, 61).name.full == "Maria Santos"


def test_an_automatic_status_is_that_of_the_analysis() -> None:
    mine = edit(contact(), status=LeadStatus.WON).contact
    back = edit(mine, given_back=frozenset({AutomaticField.STATUS})).contact
    assert (back.status, back.lead_status, back.edited) == (LeadStatus.QUALIFIED, None, ())


def test_an_automatic_stage_stays_until_an_analysis_moves_it() -> None:
    mine = edit(contact(), stage="New Lead").contact
    change = edit(mine, given_back=frozenset({AutomaticField.STAGE}))
    assert (change.contact.stage, change.activity) == (mine.stage, None)
    assert change.contact.analysis is not None
    again = next_contact(
        change.contact, CONVERSATION, messages(), change.contact.analysis, Placement(SALES), EPOCH + timedelta(days=1)
    )
    assert again is None
    moved = analysed(change.contact, LeadStatus.QUALIFIED, 75).stage
    assert moved is not None
    assert moved.name == "Negotiating"


def test_making_automatic_fields_automatic_makes_no_version() -> None:
    assert edited(contact(), ContactEdit(given_back=frozenset(AutomaticField)), SALES, at(60)) is None
