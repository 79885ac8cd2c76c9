"""A WON or LOST stage that a fallback set is provisional until an AI or a person says so."""

from __future__ import annotations

import pytest

from services.analyzer.contact.merge import Placement, next_contact
from services.analyzer.conversation import Conversation
from shared.contract.contacts import Analysis, AnalysisSource, Change, Contact, LeadStatus, StageRef, StageType
from shared.domain.contact_edits import AutomaticField, ContactEdit, edited
from shared.domain.messages import fold_all
from shared.domain.pipelines import Mode
from tests.support.contacts import SALES, analysis
from tests.support.making import MARIA, at, said

AI, FALLBACK = AnalysisSource.AI, AnalysisSource.FALLBACK
WON, LOST, NEGOTIATING = LeadStatus.WON, LeadStatus.LOST, LeadStatus.NEGOTIATING
SCORES = {WON: 90, LOST: 10, NEGOTIATING: 75}
CLOSED_WON, CLOSED_LOST, OPEN = "Closed Won", "Closed Lost", "Negotiating"
MESSAGES = list(fold_all([said("How much?", 1)]).values())
both_modes = pytest.mark.parametrize("mode", Mode)


def verdict(status: LeadStatus, source: AnalysisSource, confidence: int = 50, read: int = 1) -> Analysis:
    fingerprint = f"{status} {source} {read}"
    return analysis(SCORES[status], status, source=source, confidence=confidence, fingerprint=fingerprint)


def analysed(old: Contact | None, said_of_it: Analysis, mode: Mode) -> Change:
    conversation = Conversation(str(MARIA), MARIA.platform, MARIA.account_id, MARIA.customer_id)
    change = next_contact(old, conversation, MESSAGES, said_of_it, Placement(SALES, mode), at(100))
    assert change is not None
    return change


def by_fallback(status: LeadStatus, mode: Mode) -> Contact:
    return analysed(None, verdict(status, FALLBACK), mode).contact


def before_set_by(contact: Contact) -> Contact:
    """The contact as a version that did not record who set the stage."""
    assert contact.stage is not None
    return contact.model_copy(update={"stage": contact.stage.model_copy(update={"set_by": None})})


def by_person(contact: Contact, edit: ContactEdit) -> Contact:
    change = edited(contact, edit, SALES, at(50))
    assert change is not None
    return change.contact


def stage_of(contact: Contact) -> str:
    assert contact.stage is not None
    return contact.stage.name


@both_modes
@pytest.mark.parametrize("source", AnalysisSource)
@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize(
    ("was", "then", "stage"),
    [
        (WON, NEGOTIATING, OPEN), (WON, LOST, CLOSED_LOST), (WON, WON, CLOSED_WON),
        (LOST, NEGOTIATING, OPEN), (LOST, WON, CLOSED_WON), (LOST, LOST, CLOSED_LOST),
    ],
)  # fmt: skip
def test_any_later_analysis_moves_a_contact_out_of_a_provisional_stage(
    mode: Mode, source: AnalysisSource, is_old: bool, was: LeadStatus, then: LeadStatus, stage: str
) -> None:
    contact = by_fallback(was, mode)
    contact = before_set_by(contact) if is_old else contact
    assert contact.is_provisional
    change = analysed(contact, verdict(then, source, read=2), mode)
    assert stage_of(change.contact) == stage
    assert (change.activity is not None) is (was is not then)
    assert change.contact.is_provisional is (source is FALLBACK and then is not NEGOTIATING)


@both_modes
def test_an_ai_that_confirms_a_stage_makes_it_final(mode: Mode) -> None:
    confirmed = analysed(by_fallback(WON, mode), verdict(WON, AI), mode)
    assert confirmed.activity is None
    later = analysed(confirmed.contact, verdict(NEGOTIATING, FALLBACK, confidence=95, read=2), mode)
    assert stage_of(later.contact) == CLOSED_WON
    unsure = analysed(confirmed.contact, verdict(NEGOTIATING, AI, confidence=69, read=2), mode)
    assert stage_of(unsure.contact) == CLOSED_WON


@pytest.mark.parametrize(("mode", "stage"), [(Mode.SKIP_EXISTING, CLOSED_WON), (Mode.UPDATE_EXISTING, OPEN)])
def test_a_stage_that_an_ai_set_keeps_its_rules(mode: Mode, stage: str) -> None:
    contact = before_set_by(analysed(None, verdict(WON, AI), mode).contact)
    assert not contact.is_provisional
    assert stage_of(analysed(contact, verdict(NEGOTIATING, AI, confidence=70, read=2), mode).contact) == stage


@both_modes
@pytest.mark.parametrize("is_given_back", [False, True])
def test_a_stage_that_a_person_set_is_not_provisional(mode: Mode, is_given_back: bool) -> None:
    contact = by_person(by_fallback(WON, mode), ContactEdit(stage=CLOSED_WON))
    if is_given_back:
        contact = by_person(contact, ContactEdit(given_back=frozenset({AutomaticField.STAGE})))
    assert not contact.is_provisional
    later = analysed(contact, verdict(NEGOTIATING, FALLBACK, read=2), mode)
    assert (stage_of(later.contact), later.activity) == (CLOSED_WON, None)


@both_modes
def test_a_persons_status_confirms_a_stage_or_opens_it(mode: Mode) -> None:
    contact = by_fallback(WON, mode)
    agreed = by_person(contact, ContactEdit(status=WON))
    assert not agreed.is_provisional
    assert stage_of(analysed(agreed, verdict(LOST, AI, confidence=99, read=2), mode).contact) == CLOSED_WON
    denied = by_person(contact, ContactEdit(status=NEGOTIATING))
    assert stage_of(analysed(denied, verdict(WON, FALLBACK, read=2), mode).contact) != CLOSED_WON


def test_an_archived_contact_stays_archived() -> None:
    assert SALES is not None
    archived = StageType.ARCHIVED
    stages = [
        s.model_copy(update={"type": archived, "range": None}) if s.name == CLOSED_WON else s for s in SALES.stages
    ]
    pipeline = SALES.model_copy(update={"stages": tuple(stages)})
    contact = by_fallback(WON, Mode.UPDATE_EXISTING)
    conversation = Conversation(str(MARIA), MARIA.platform, MARIA.account_id, MARIA.customer_id)
    placement = Placement(pipeline, Mode.UPDATE_EXISTING)
    change = next_contact(contact, conversation, MESSAGES, verdict(NEGOTIATING, AI, 99), placement, at(100))
    assert change is not None
    assert stage_of(change.contact) == CLOSED_WON


@both_modes
def test_equal_input_makes_no_version(mode: Mode) -> None:
    conversation = Conversation(str(MARIA), MARIA.platform, MARIA.account_id, MARIA.customer_id)
    for contact in (by_fallback(WON, mode), before_set_by(by_fallback(WON, mode))):
        same = next_contact(contact, conversation, MESSAGES, verdict(WON, FALLBACK), Placement(SALES, mode), at(200))
        assert same is None


def test_an_open_stage_is_not_provisional() -> None:
    contact = by_fallback(NEGOTIATING, Mode.SKIP_EXISTING)
    assert contact.stage == StageRef(pipeline="Sales", name=OPEN, type=StageType.IN_PROGRESS, set_by=FALLBACK)
    assert not contact.is_provisional
