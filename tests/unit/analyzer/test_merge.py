"""The next version of a contact."""

from __future__ import annotations

from collections.abc import Sequence
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
from shared.contract.events import Event, Participant, Source
from shared.domain.messages import fold_all
from shared.domain.pipelines import Mode, template
from tests.support.making import EPOCH, MARIA, answered, at, said, unsent

CONVERSATION = Conversation(str(MARIA), MARIA.platform, MARIA.account_id, MARIA.customer_id)
SALES = Placement(template("Sales"), Mode.UPDATE_EXISTING)


def analysis(score: int = 60, status: LeadStatus = LeadStatus.QUALIFIED, **more: object) -> Analysis:
    fields = {"source": AnalysisSource.AI, "fingerprint": f"of {score} {status}", "analysed_at": EPOCH, **more}
    said_of_it = {"summary": "s", "reasoning": "because", "confidence": 80, "messages_read": 1}
    return Analysis.model_validate({**said_of_it, **fields, "lead_score": score, "lead_status": status})


def merge(
    old: Contact | None,
    events: Sequence[Event],
    verdict: Analysis | None = None,
    placement: Placement = SALES,
    conversation: Conversation = CONVERSATION,
) -> Change | None:
    return next_contact(old, conversation, list(fold_all(events).values()), verdict or analysis(), placement, at(100))


def first(*events: Event, verdict: Analysis | None = None, placement: Placement = SALES) -> Change:
    change = merge(None, events or [said("How much?", 1)], verdict, placement)
    assert change is not None
    return change


def test_the_first_version_names_every_field_that_has_a_value() -> None:
    change = first(said("How much?", 1), answered("500", 2))
    assert change.contact.version == 1
    assert change.contact.created_at == change.contact.updated_at == at(100)
    assert set(change.changed) == {
        "contact_id", "platform", "account_id", "customer_id", "name", "analysis", "stage",
        "last_inbound_at", "last_outbound_at", "messages_inbound", "messages_outbound",
    }  # fmt: skip


def test_an_unchanged_conversation_makes_no_version() -> None:
    assert merge(first().contact, [said("How much?", 1)]) is None


def test_a_version_names_only_changed_fields() -> None:
    change = merge(first().contact, [said("How much?", 1), answered("500", 2)])
    assert change is not None
    assert change.contact.version == 2
    assert change.changed == ("last_outbound_at", "messages_outbound")
    assert change.activity is None


def test_inbound_and_outbound_times_come_from_the_messages() -> None:
    contact = first(said("a", 5), said("b", 1), answered("c", 9), unsent("m_5", 20)).contact
    assert (contact.last_inbound_at, contact.last_outbound_at) == (at(1), at(9))
    assert (contact.messages_inbound, contact.messages_outbound) == (1, 1)


def test_contact_details_come_from_the_customers_standing_messages() -> None:
    events = [said("me@example.org", 1), said("old@example.org", 2), answered("shop@example.org", 3)]
    contact = first(*events).contact
    assert contact.emails == ("me@example.org", "old@example.org")
    change = merge(contact, [*events, unsent("m_2", 4)])
    assert change is not None
    assert change.contact.emails == ("me@example.org",)


def test_a_stage_change_makes_an_activity_with_its_reason() -> None:
    started = first(verdict=analysis(10, LeadStatus.NEW))
    assert started.activity is not None
    assert (started.activity.from_stage, started.activity.to_stage) == (None, "New Lead")
    moved = merge(started.contact, [said("deal", 2)], analysis(95, LeadStatus.WON))
    assert moved is not None
    assert moved.activity is not None
    told = moved.activity
    assert (told.from_stage, told.to_stage, told.activity_id) == ("New Lead", "Closed Won", f"{MARIA}#2")
    assert (told.score, told.status, told.reasoning, told.source) == (95, LeadStatus.WON, "because", AnalysisSource.AI)


def test_without_a_pipeline_a_contact_keeps_the_stage_it_has() -> None:
    assert first(placement=Placement()).contact.stage is None
    staged = first().contact
    change = merge(staged, [said("deal", 2)], analysis(95, LeadStatus.WON), Placement())
    assert change is not None
    assert change.contact.stage == staged.stage


def test_a_later_pipeline_gives_a_stage_without_a_new_analysis() -> None:
    change = merge(first(placement=Placement()).contact, [said("How much?", 1)])
    assert change is not None
    assert change.changed == ("stage",)


def test_the_same_analysis_moves_a_contact_once() -> None:
    """A person who moved it afterwards has the last word even where the field was not marked as edited."""
    moved = first().contact.model_copy(
        update={"stage": StageRef(pipeline="Sales", name="New Lead", type=StageType.LEAD)}
    )
    assert merge(moved, [said("How much?", 1)]) is None


@pytest.mark.parametrize("field", ["name", "stage", "emails", "analysis"])
def test_an_edited_field_is_not_overwritten(field: str) -> None:
    edited = first().contact.model_copy(update={"edited": (field,)})
    events = [said("deal, me@example.org", 2, source=Source.BACKFILL, sender_name="Maria Santos")]
    change = merge(edited, events, analysis(95, LeadStatus.WON))
    assert change is not None
    assert field not in change.changed
    assert getattr(change.contact, field) == getattr(edited, field)
    assert {"name", "stage", "emails", "analysis"} - {field} <= set(change.changed)


def test_a_placeholder_never_replaces_a_name() -> None:
    listed = Conversation(*CONVERSATION_FIELDS, (Participant(id=MARIA.customer_id, name="Maria Santos"),))
    change = merge(None, [said("Hi", 1)], conversation=listed)
    assert change is not None
    assert change.contact.name == Name(first="Maria", last="Santos", source=NameSource.PARTICIPANTS)
    assert merge(change.contact, [said("Hi", 1)]) is None


CONVERSATION_FIELDS = (str(MARIA), MARIA.platform, MARIA.account_id, MARIA.customer_id)


def test_time_alone_makes_no_version() -> None:
    old = first().contact
    later = old.updated_at + timedelta(days=1)
    messages = list(fold_all([said("How much?", 1)]).values())
    assert next_contact(old, CONVERSATION, messages, analysis(), SALES, later) is None
