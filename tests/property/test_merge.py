"""A contact through any sequence of analyses and edits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.analyzer.contact.merge import Placement, next_contact
from services.analyzer.conversation import Conversation
from shared.contract.contacts import (
    Analysis,
    AnalysisSource,
    Change,
    Contact,
    LeadStatus,
    NameSource,
    StageRef,
    StageType,
)
from shared.contract.events import Participant, Source
from shared.domain.contact_edits import AutomaticField, ContactEdit, edited
from shared.domain.messages import StoredMessage, fold_all
from shared.domain.pipelines import Mode, template
from tests.support.making import EPOCH, MARIA, answered, at, said, unsent

SALES = template("Sales")
assert SALES is not None
STAGES = [stage.name for stage in SALES.stages]
STRENGTH = list(NameSource)

names = st.sampled_from([None, "Maria", "Maria Santos", "M. Santos-Cruz"])
usernames = st.sampled_from([None, "maria.s", "santos_m"])
analyses = st.builds(
    Analysis,
    summary=st.sampled_from(["s", "t"]), lead_score=st.integers(1, 100), lead_status=st.sampled_from(LeadStatus),
    confidence=st.integers(0, 100), reasoning=st.just("because"), source=st.sampled_from(AnalysisSource),
    recommended_stage=st.sampled_from([None, *STAGES]), fingerprint=st.sampled_from("abc"),
    messages_read=st.just(1), analysed_at=st.just(EPOCH),
)  # fmt: skip


@st.composite
def told(draw: st.DrawFn) -> Sequence[StoredMessage]:
    """A few messages of both sides, of which some name their sender, and some were unsent."""
    events: list[Any] = []
    for place in range(draw(st.integers(1, 4))):
        mid, side = f"m_{place}", draw(st.sampled_from([said, answered]))
        text = draw(st.sampled_from(["How much?", "me@example.org", "0917 123 4567"]))
        events.append(side(text, place, mid=mid))
        if draw(st.booleans()):
            who = {"sender_name": draw(names), "sender_username": draw(usernames)}
            events.append(side(text, place, mid=mid, source=Source.BACKFILL, **who))
        if draw(st.booleans()):
            events.append(unsent(mid, place + 10))
    return list(fold_all(events).values())


conversations = st.tuples(names, usernames).map(
    lambda told: Conversation(
        str(MARIA), *MARIA, participants=(Participant(id=MARIA.customer_id, name=told[0], username=told[1]),)
    )
)
placements = st.sampled_from([Placement(), Placement(SALES), Placement(SALES, Mode.UPDATE_EXISTING)])
edits = st.builds(
    ContactEdit,
    name=st.sampled_from([None, "Mary", "Mary Ann Cruz"]),
    stage=st.sampled_from([None, *STAGES]),
    status=st.sampled_from([None, *LeadStatus]),
    notes=st.sampled_from([None, "call after five", ""]),
    tags_added=st.sampled_from([(), ("vip",), ("a", "b")]),
    tags_removed=st.sampled_from([(), ("vip",)]),
)


@dataclass(frozen=True)
class Look:
    conversation: Conversation
    messages: Sequence[StoredMessage] = field(repr=False)
    analysis: Analysis
    placement: Placement

    def __call__(self, old: Contact | None, seconds: int = 0) -> Change | None:
        now = at(100 + seconds)
        return next_contact(old, self.conversation, self.messages, self.analysis, self.placement, now)


looks = st.builds(Look, conversations, told(), analyses, placements)
steps = st.lists(st.one_of(looks, edits), max_size=6)


def changes(first: Look, then: Sequence[Look | ContactEdit]) -> list[tuple[Contact | None, Change]]:
    """Each with the contact that it was made from."""
    made: list[tuple[Contact | None, Change]] = []
    contact: Contact | None = None
    for number, step in enumerate((first, *then)):
        if isinstance(step, ContactEdit):
            assert contact is not None
            change = edited(contact, step, SALES, at(100 + number))
        else:
            change = step(contact, number)
        if change:
            made.append((contact, change))
            contact = change.contact
    return made


@given(looks, steps)
def test_versions_rise_by_one_and_each_names_exactly_what_it_changed(
    first: Look, then: Sequence[Look | ContactEdit]
) -> None:
    for version, (old, change) in enumerate(changes(first, then), 1):
        assert change.contact.version == version
        if old:
            told = {name for name in Contact.model_fields if getattr(old, name) != getattr(change.contact, name)}
            assert set(change.changed) == told - {"version", "updated_at"}
            assert change.changed


def place(stage: StageRef | None) -> tuple[str, str] | None:
    """Return where a contact is, whoever set it: that a person confirms a stage changes no stage."""
    return (stage.pipeline, stage.name) if stage else None


@given(looks, steps)
def test_activities_are_exactly_the_stage_changes(first: Look, then: Sequence[Look | ContactEdit]) -> None:
    for old, change in changes(first, then):
        before, after = old.stage if old else None, change.contact.stage
        assert (change.activity is not None) is (place(after) != place(before))
        if change.activity and after:
            assert (change.activity.from_stage, change.activity.to_stage) == (before and before.name, after.name)


@given(looks, steps, st.integers(1, 10**6))
def test_the_same_analysis_again_makes_no_version(first: Look, then: Sequence[Look | ContactEdit], later: int) -> None:
    last = next((step for step in reversed(then) if isinstance(step, Look)), first)
    made = changes(first, [*then, last])
    assert last(made[-1][1].contact, later) is None


@given(looks, edits, st.lists(looks, max_size=4))
def test_a_persons_edit_survives_any_analysis(first: Look, edit: ContactEdit, then: Sequence[Look]) -> None:
    *_, (_, change) = changes(first, [edit])
    (*_, (_, last)) = changes(first, [edit, *then])
    for name in {*change.contact.edited, "tags", "notes", "edited"}:
        assert getattr(last.contact, name) == getattr(change.contact, name)


@given(looks, steps)
def test_a_name_is_never_replaced_by_one_of_a_weaker_source(first: Look, then: Sequence[Look | ContactEdit]) -> None:
    for old, change in changes(first, then):
        if old:
            assert STRENGTH.index(change.contact.name.source) >= STRENGTH.index(old.name.source)
            if old.name.username:
                assert change.contact.name.username


@given(looks, steps)
def test_absence_never_erases(first: Look, then: Sequence[Look | ContactEdit]) -> None:
    """A contact that has had an analysis, a stage, a picture or a person's word does not lose it again."""
    for old, change in changes(first, then):
        kept = ("analysis", "stage", "lead_status", "edited", "created_at")
        assert all(getattr(change.contact, name) for name in kept if old and getattr(old, name))


@given(looks, st.lists(looks, max_size=5))
def test_no_one_is_won_or_lost_without_that_status(first: Look, then: Sequence[Look]) -> None:
    for old, change in changes(first, then):
        stage, contact = change.contact.stage, change.contact
        is_new = stage and stage != (old.stage if old else None)
        if stage and is_new and stage.type in (StageType.WON, StageType.LOST):
            assert contact.status == stage.type.value


@given(looks, steps, looks, st.sampled_from(AutomaticField))
def test_a_field_made_automatic_is_as_if_no_person_had_set_it(
    first: Look, then: Sequence[Look | ContactEdit], last: Look, owned: AutomaticField
) -> None:
    (*_, (_, change)) = changes(first, [*then, ContactEdit(given_back=frozenset({owned}))])
    assert owned not in change.contact.edited
    contact = (last(change.contact, 999) or change).contact
    assert contact.name.source is not NameSource.PERSON or owned is not AutomaticField.NAME
    assert contact.lead_status is None or owned is not AutomaticField.STATUS


@given(looks)
def test_a_contact_after_an_erasure_has_the_next_version(first: Look) -> None:
    after = next_contact(
        None, first.conversation, first.messages, first.analysis, first.placement, at(0) + timedelta(days=9), 7
    )
    assert after is not None
    ((_, fresh),) = changes(first, [])
    same = {"version": 8, "created_at": after.contact.created_at, "updated_at": after.contact.updated_at}
    assert after.contact == fresh.contact.model_copy(update=same)
