"""A due conversation becomes a published contact over a real database: in order, and never by a stale worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest

from services.analyzer.analysis.analyst import AnalysisInput, Analyst
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.analysis.resilient import ResilientAnalyst
from services.analyzer.contact import conversation_loader as history
from services.analyzer.contact.conversation_loader import ConversationLoader
from services.analyzer.contact.merge import next_contact
from services.analyzer.contact.outbox import Outbox
from services.analyzer.contact.pipeline_assignment import PipelineAssignments
from services.analyzer.intake.aggregate import Aggregate
from services.analyzer.queue import analysis_worker as worker
from services.analyzer.queue.analysis_worker import AnalysisOutcome, AnalysisWorker
from services.analyzer.queue.claim_queue import Claim, ClaimQueue
from shared.bus.producer import AIOKafkaProducer, KafkaError, Topics
from shared.contract.contacts import (
    AnalysisSource,
    Change,
    Contact,
    ContactUpdated,
    LeadStatus,
    Verdict,
    load_contact_updated,
)
from shared.contract.events import Event, Referral, ReferralEvent, Source
from shared.contract.failures import TransientError
from shared.contract.ids import ConversationKey
from shared.domain.accounts import account_key
from shared.domain.contact_edits import ContactEdit
from shared.domain.pipelines import template
from shared.runtime.clock import utc_now
from shared.runtime.metrics import AnalyzerMetrics
from shared.store import contacts as contact_store
from shared.store.activities import ActivityStore
from shared.store.contact_editing import edit_contact
from shared.store.contacts import Contacts
from shared.store.conversation_updates import Timing
from shared.store.conversations import Conversations
from shared.store.erasures import Erasures
from shared.store.mongo import Collection, Database, Document, insert_all
from tests.support.making import EPOCH, MARIA, answered, listed, reacted, said, unsent
from tests.support.waiting import eventually

AT_ONCE = Timing(0, 0, 0)


class FakeBatch:
    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []

    def append(self, *, timestamp: None, key: bytes, value: bytes | None, headers: object) -> object:
        self.records.append((key, value))
        return self

    def close(self) -> None:
        pass


@dataclass
class FakeProducer:
    """Keeps what is acknowledged; the next `failures` sends are not."""

    sent: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    failures: int = 0

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> FakeBatch:
        return FakeBatch()

    async def send_batch(self, batch: FakeBatch, _topic: str, *, partition: int) -> asyncio.Future[None]:
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.failures:
            self.failures -= 1
            acknowledged.set_exception(KafkaError())
        else:
            self.sent += batch.records
            acknowledged.set_result(None)
        return acknowledged

    @property
    def updates(self) -> list[ContactUpdated]:
        return [load_contact_updated(value) for _, value in self.sent if value]


@dataclass
class FakeAnalyst:
    """Scores the number of lines; `before` runs first."""

    briefs: list[AnalysisInput] = field(default_factory=list)
    before: Callable[[], Awaitable[None]] | None = None
    status: LeadStatus = LeadStatus.QUALIFIED

    async def analyse(self, analysis_input: AnalysisInput) -> Verdict:
        self.briefs.append(analysis_input)
        if self.before:
            await self.before()
        return Verdict(
            summary=" | ".join(line.text for line in analysis_input.transcript.lines),
            lead_score=50 + len(analysis_input.transcript.lines),
            lead_status=self.status,
            confidence=60,
            reasoning="counted",
            source=AnalysisSource.AI,
        )


@dataclass
class Rig:
    database: Database
    producer: FakeProducer = field(default_factory=FakeProducer)
    analyst: FakeAnalyst = field(default_factory=FakeAnalyst)

    def queue(self) -> ClaimQueue:
        return ClaimQueue(self.database, "owner", 60, AT_ONCE)

    def worker(self, analyst: Analyst | None = None) -> AnalysisWorker:
        contacts, activities, metrics = Contacts(self.database), ActivityStore(self.database), AnalyzerMetrics()
        producer, chosen = cast("AIOKafkaProducer", self.producer), analyst or self.analyst
        resilient = chosen if isinstance(chosen, ResilientAnalyst) else ResilientAnalyst(None, chosen)
        outbox = Outbox(producer, Topics(), contacts, activities, metrics)
        loader, assignments = ConversationLoader(self.database), PipelineAssignments(self.database)
        return AnalysisWorker(loader, contacts, activities, outbox, assignments, resilient, utc_now, metrics)

    async def work(self, *held: Claim, analyst: Analyst | None = None) -> list[AnalysisOutcome]:
        """Those that are read, written and published."""
        worker = self.worker(analyst)
        return await worker.publish(await worker.record(await worker.read(held) or []))

    async def tried(self, held: Claim) -> list[AnalysisOutcome]:
        """What is written and not published."""
        worker = self.worker()
        recorded = await worker.record(await worker.read([held]) or [])
        assert await worker.publish(recorded) == []
        return recorded

    async def apply(self, *events: Event) -> None:
        await Aggregate(self.database, AT_ONCE).apply(events)

    async def claim(self) -> Claim:
        (held,) = await eventually(lambda: self.queue().claim(1), bool)
        return held

    async def stale_claim(self) -> Claim:
        """Its lease has run out, and it does not know."""
        held = await self.claim()
        held.held_until = float("inf")
        await self.database.conversations.update_one({"_id": held.contact_id}, {"$set": {"lease.until": EPOCH}})
        return held

    async def analyse(self, *events: Event) -> Contact | None:
        """The contact after one look at what `events` tell."""
        await self.apply(*events)
        held = await self.claim()
        await self.work(held)
        await self.queue().finish_all([held])
        return await self.contact()

    async def contact(self) -> Contact | None:
        stored = await Contacts(self.database).load(str(MARIA))
        return stored.contact if stored else None

    async def outbox(self) -> list[int]:
        """The versions in it."""
        stored = await Contacts(self.database).load(str(MARIA))
        return [entry.version for entry in stored.outbox] if stored else []

    async def use_sales(self) -> None:
        sales = template("Sales")
        assert sales is not None
        await self.database.pipelines.replace_one({"_id": "Sales"}, sales.model_dump(mode="json"), upsert=True)
        key = account_key(MARIA.platform, MARIA.account_id)
        await self.database.accounts.insert_one({"_id": key, "pipeline": "Sales", "mode": "UPDATE_EXISTING"})


@pytest.fixture
async def rig(database: Database) -> Rig:
    return Rig(database)


async def test_a_conversation_becomes_a_contact_that_is_published(rig: Rig) -> None:
    await rig.use_sales()
    text = "How much? mail maria@example.org"
    told = said(text, 1, source=Source.BACKFILL, sender_name="Maria Clara Santos")
    contact = await rig.analyse(listed(0), told, answered("500", 2))
    assert contact is not None
    assert (contact.version, contact.name.full, contact.emails) == (1, "Maria Clara Santos", ("maria@example.org",))
    assert (contact.messages_inbound, contact.messages_outbound) == (1, 1)
    assert contact.analysis is not None
    assert (contact.analysis.lead_score, contact.analysis.messages_read) == (52, 2)
    assert contact.stage is not None
    assert contact.stage.pipeline == "Sales"
    (update,) = rig.producer.updates
    assert (update.version, update.contact) == (1, contact)
    assert {"name", "analysis", "stage", "emails", "last_inbound_at"} <= set(update.changed)
    assert await rig.outbox() == []
    activity = await rig.database.activities.find_one({"_id": f"{MARIA}#1"})
    assert activity is not None
    assert (activity["from_stage"], activity["to_stage"]) == (None, contact.stage.name)


@pytest.mark.parametrize(
    ("account", "name", "zone"),
    [
        ({"name": "Bakery", "timezone": "Asia/Manila"}, "Bakery", "Asia/Manila"),
        ({"name": "Bakery"}, "Bakery", "UTC"),
        ({"name": "Bakery", "timezone": "Mars/Olympus"}, "Bakery", "UTC"),
        (None, "", "UTC"),
    ],
    ids=["both", "no zone", "unknown zone", "never added"],
)
async def test_the_analyst_knows_the_accounts_name_and_time_zone(
    rig: Rig, account: Document | None, name: str, zone: str
) -> None:
    if account:
        key = account_key(MARIA.platform, MARIA.account_id)
        await rig.database.accounts.insert_one({"_id": key, "pipeline": "Gone", **account})
    assert await rig.analyse(said("How much?", 1)) is not None
    (analysis_input,) = rig.analyst.briefs
    assert (analysis_input.account_name, str(analysis_input.timezone)) == (name, zone)


async def test_the_same_content_is_analysed_once_and_makes_one_version(rig: Rig) -> None:
    first = await rig.analyse(said("How much?", 1))
    assert await rig.analyse(said("How much?", 1)) == first
    assert len(rig.analyst.briefs) == len(rig.producer.sent) == 1


async def test_a_later_name_makes_a_version_without_an_analysis(rig: Rig) -> None:
    placeholder = await rig.analyse(said("How much?", 1))
    named = await rig.analyse(listed(2, name="Maria Santos"))
    assert placeholder is not None
    assert named is not None
    assert (placeholder.name.full, named.name.full) == ("User 654321", "Maria Santos")
    assert (named.version, rig.producer.updates[-1].changed) == (2, ("name",))
    assert len(rig.analyst.briefs) == 1
    again = await rig.analyse(listed(3))
    assert again == named


async def test_a_persons_edits_are_kept(rig: Rig) -> None:
    await rig.use_sales()
    await rig.analyse(said("How much?", 1))
    edit = {"name.first": "Mary", "name.last": "", "name.source": "person", "edited": ["name", "stage"], "stage": None}
    await rig.database.contacts.update_one({}, {"$set": edit})
    contact = await rig.analyse(said("I will take it", 2, source=Source.BACKFILL, sender_name="Maria Santos"))
    assert contact is not None
    assert (contact.name.full, contact.stage, contact.version) == ("Mary", None, 2)
    assert contact.analysis is not None
    assert contact.analysis.messages_read == 2


async def test_an_edit_during_an_analysis_is_merged_without_a_second_analysis(rig: Rig) -> None:
    await rig.analyse(said("How much?", 1))

    async def edit() -> None:
        change = {"$set": {"notes": "call after five", "edited": ["notes"]}, "$inc": {"version": 1}}
        await rig.database.contacts.update_one({}, change)

    rig.analyst.before = edit
    contact = await rig.analyse(said("I will take it", 2))
    assert contact is not None
    assert (contact.notes, contact.version, len(rig.analyst.briefs)) == ("call after five", 3, 2)


async def test_a_conversation_without_a_message_makes_no_contact(rig: Rig) -> None:
    fields = listed(0).model_dump(include={*ReferralEvent.model_fields} - {"kind", "referral"})
    referral = ReferralEvent(referral=Referral(ref="r"), **fields)
    assert await rig.analyse(listed(0), referral, reacted("m_unknown", 1), unsent("m_other", 2)) is None
    assert rig.producer.sent == []
    assert await rig.queue().claim(1) == []


async def test_a_deleted_message_is_gone_from_the_contact(rig: Rig) -> None:
    await rig.analyse(said("my card is 4111", 1, mid="m_1"))
    contact = await rig.analyse(unsent("m_1", 2))
    assert contact is not None
    assert contact.analysis is not None
    assert 1 <= contact.analysis.lead_score <= 100
    stored = await rig.database.contacts.find_one({})
    assert "4111" not in repr(stored)
    assert "4111" not in repr(await rig.database.messages.find_one({}))
    assert len(rig.analyst.briefs) == 1


async def test_a_deleted_message_is_gone_from_the_ais_reasoning_in_activities(rig: Rig) -> None:
    await rig.use_sales()
    await rig.analyse(said("my card is 4111", 1, mid="m_1"), said("Hi", 2, mid="m_2"))
    (before,) = await rig.database.activities.find({}).to_list(None)
    assert before["reasoning"] == "counted"
    await rig.analyse(unsent("m_1", 3))
    after = await rig.database.activities.find_one({"_id": before["_id"]})
    assert after == {**before, "reasoning": ""}


async def test_an_unacknowledged_version_is_published_first_with_the_same_bytes(rig: Rig) -> None:
    rig.producer.failures = 1
    await rig.apply(said("How much?", 1))
    (told,) = await rig.tried(await rig.stale_claim())
    assert told.new is not None
    await rig.analyse(said("I will take it", 2))
    assert [update.version for update in rig.producer.updates] == [1, 2]
    assert rig.producer.sent[0] == (str(MARIA).encode(), told.new.value)
    assert await rig.outbox() == []


async def test_an_unacknowledged_version_is_published_when_nothing_else_changed(rig: Rig) -> None:
    rig.producer.failures = 1
    await rig.apply(said("How much?", 1))
    (told,) = await rig.tried(await rig.stale_claim())
    assert told.new is not None
    assert await rig.analyse() == told.contact
    assert rig.producer.sent == [(str(MARIA).encode(), told.new.value)]


async def test_a_first_version_is_published_when_its_insert_was_sent_twice(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is where a driver sends an insert again whose answer was lost."""

    async def sent_twice(collection: Collection, documents: Sequence[Document]) -> set[str]:
        await insert_all(collection, documents)
        return await insert_all(collection, documents)

    monkeypatch.setattr(contact_store, "insert_all", sent_twice)
    contact = await rig.analyse(said("How much?", 1))
    assert [(update.version, update.contact) for update in rig.producer.updates] == [(1, contact)]


async def test_a_third_worker_publishes_in_order_what_two_before_it_left(rig: Rig) -> None:
    rig.producer.failures = 2
    await rig.apply(said("How much?", 1))
    await rig.tried(await rig.stale_claim())
    await rig.apply(said("I will take it", 2))
    await rig.tried(await rig.stale_claim())
    assert await rig.outbox() == [1]
    await rig.analyse(said("Today?", 3))
    assert [update.version for update in rig.producer.updates] == [1, 2, 3]
    assert await rig.outbox() == []


async def test_an_edit_over_an_unacknowledged_version_keeps_both_in_order(rig: Rig) -> None:
    rig.producer.failures = 1
    await rig.apply(said("How much?", 1))
    await rig.tried(await rig.stale_claim())
    edited = await edit_contact(rig.database, str(MARIA), ContactEdit(notes="call after five"), utc_now)
    assert await rig.outbox() == [1, 2]
    assert await rig.analyse() == edited
    assert [update.version for update in rig.producer.updates] == [1, 2]
    assert await rig.outbox() == []


async def test_a_stale_worker_can_neither_write_nor_publish(rig: Rig) -> None:
    await rig.apply(said("How much?", 1))
    stale = await rig.stale_claim()

    async def overtaken() -> None:
        await rig.analyse(said("I will take it", 2))

    assert await rig.work(stale, analyst=FakeAnalyst(before=overtaken)) == []
    contact = await rig.contact()
    assert contact is not None
    assert contact.analysis is not None
    assert (contact.version, contact.analysis.messages_read) == (1, 2)
    assert [update.contact for update in rig.producer.updates] == [contact]


async def test_a_stale_worker_cannot_restore_a_deleted_message(rig: Rig) -> None:
    """The look that overtakes it finds the contact as it should be and changes nothing: its fence must stand."""
    before = await rig.analyse(said("How much?", 1))
    await rig.apply(said("my card is 4111", 2, mid="m_2"))
    stale = await rig.stale_claim()

    async def overtaken() -> None:
        assert await rig.analyse(unsent("m_2", 3)) == before

    assert await rig.work(stale, analyst=FakeAnalyst(before=overtaken)) == []
    assert await rig.contact() == before


async def test_racing_writers_give_a_version_one_content(rig: Rig) -> None:
    await rig.apply(said("How much?", 1))
    held = await rig.claim()
    await asyncio.gather(*(rig.work(held) for _ in range(4)))
    contact = await rig.contact()
    assert contact is not None
    contents = {
        update.version: value for update, (_, value) in zip(rig.producer.updates, rig.producer.sent, strict=True)
    }
    assert len(set(rig.producer.sent)) == len(contents)
    assert sorted(contents) == list(range(1, contact.version + 1))


def others(number: int) -> list[ConversationKey]:
    return [ConversationKey(MARIA.platform, MARIA.account_id, f"{n:06}") for n in range(number)]


def asked(who: ConversationKey, number: int = 1) -> Event:
    return said(f"How much for {who.customer_id}, {number}?", number, mid=f"m_{who.customer_id}_{number}", who=who)


async def claimed(rig: Rig, number: int) -> list[Claim]:
    claims = await rig.queue().claim(number)
    assert len(claims) == number
    return sorted(claims, key=lambda held: held.contact_id)


async def test_a_group_is_read_written_and_published_as_one(rig: Rig) -> None:
    await rig.apply(*(asked(who) for who in others(5)))
    told = await rig.work(*await claimed(rig, 5))
    assert {each.outcome for each in told} == {"created"}
    stored = await Contacts(rig.database).load_all(str(who) for who in others(5))
    assert {update.contact_id: update.contact for update in rig.producer.updates} == {
        key: each.contact for key, each in stored.items()
    }
    assert {each.contact.analysis.summary for each in stored.values() if each.contact and each.contact.analysis} == {
        f"How much for {who.customer_id}, 1?" for who in others(5)
    }


async def test_a_lost_claim_does_not_affect_the_rest_of_its_group(rig: Rig) -> None:
    await rig.apply(*(asked(who) for who in others(3)))
    claims = await claimed(rig, 3)

    async def overtaken() -> None:
        document = {"_id": claims[1].contact_id, "version": 1, "fence": 9, "forgotten_at": EPOCH, "outbox": []}
        await rig.database.contacts.replace_one({"_id": claims[1].contact_id}, document, upsert=True)

    told = await rig.work(*claims, analyst=FakeAnalyst(before=overtaken))
    assert {each.claim.contact_id for each in told} == {claims[0].contact_id, claims[2].contact_id}
    assert {update.contact_id for update in rig.producer.updates} == {claims[0].contact_id, claims[2].contact_id}


async def test_a_record_the_broker_never_accepts_holds_up_only_its_contact(rig: Rig) -> None:
    await rig.apply(*(asked(who) for who in others(3)))
    rig.producer.failures = 2  # the group's, and then that of the first of it alone
    claims = await claimed(rig, 3)
    told = await rig.work(*claims)
    assert len(told) == len(rig.producer.updates) == 2
    (left,) = {held.contact_id for held in claims} - {each.claim.contact_id for each in told}
    stored = await Contacts(rig.database).load(left)
    assert stored is not None
    assert [entry.version for entry in stored.unpublished(may_be_unpublished=True)] == [1]


async def test_nothing_is_published_for_a_claim_that_is_not_held(rig: Rig) -> None:
    await rig.apply(*(asked(who) for who in others(2)))
    claims = await claimed(rig, 2)

    async def stall() -> None:
        claims[0].held_until = 0

    told = await rig.work(*claims, analyst=FakeAnalyst(before=stall))
    assert [each.claim.contact_id for each in told] == [claims[1].contact_id]
    assert [update.contact_id for update in rig.producer.updates] == [claims[1].contact_id]
    assert await Contacts(rig.database).load(claims[0].contact_id) is None


async def test_a_requested_analysis_is_made_when_nothing_changed(rig: Rig) -> None:
    first = await rig.analyse(said("How much?", 1))
    rig.analyst.status = LeadStatus.NEGOTIATING
    await Conversations(rig.database).requeue([str(MARIA)], reanalyse=True)
    again = await rig.analyse()
    assert first is not None
    assert again is not None
    assert again.analysis is not None
    assert (again.version, again.analysis.lead_status) == (2, LeadStatus.NEGOTIATING)
    await Conversations(rig.database).requeue([str(MARIA)])
    assert await rig.analyse() == again
    assert len(rig.analyst.briefs) == 2


async def test_the_fallback_never_replaces_the_ais_verdict_on_the_same_messages(rig: Rig) -> None:
    ai = NoAi(is_back=True)
    analyst = ResilientAnalyst(ai, FallbackScorer())
    await rig.apply(said("How much?", 1))

    async def look() -> AnalysisOutcome:
        held = await rig.claim()
        (told,) = await rig.work(held, analyst=analyst)
        await rig.queue().finish_all([held])
        return told

    first = await look()
    ai.is_back = False
    await Conversations(rig.database).requeue([str(MARIA)], reanalyse=True)
    in_vain = await look()
    assert (in_vain.outcome, in_vain.is_unanswered, ai.asked) == ("unchanged", True, 2)
    assert in_vain.contact == first.contact
    ai.is_back = True
    await Conversations(rig.database).requeue([str(MARIA)], reanalyse=True)
    done = await look()
    assert (done.outcome, done.is_unanswered, ai.asked) == ("updated", False, 3)


async def test_a_requested_analysis_renews_a_fallback_verdict_while_the_ai_is_away(rig: Rig) -> None:
    ai = NoAi()
    analyst = ResilientAnalyst(ai, FallbackScorer())
    await rig.apply(said("How much?", 1))
    first = await rig.claim()
    await rig.work(first, analyst=analyst)
    await rig.queue().finish_all([first])
    await Conversations(rig.database).requeue([str(MARIA)], reanalyse=True)
    (told,) = await rig.work(await rig.claim(), analyst=analyst)
    assert (told.outcome, told.is_fallback, told.is_unanswered) == ("updated", True, False)


class NoAi:
    """An AI that is not to be had until it `is_back`."""

    def __init__(self, *, is_back: bool = False) -> None:
        self.is_back = is_back
        self.asked = 0

    async def analyse(self, analysis_input: AnalysisInput) -> Verdict:
        self.asked += 1
        if not self.is_back:
            raise TransientError("away")
        return await FakeAnalyst().analyse(analysis_input)


async def test_an_ai_retry_replaces_the_fallbacks_verdict(rig: Rig) -> None:
    ai = NoAi()
    analyst = ResilientAnalyst(ai, FallbackScorer())
    await rig.apply(said("How much?", 1))
    (told,) = await rig.work(await rig.claim(), analyst=analyst)
    assert (told.outcome, told.is_fallback) == ("created", True)
    await rig.queue().finish_all([told.claim])

    async def again() -> AnalysisOutcome:
        (held,) = await rig.queue().claim_these([str(MARIA)])
        held.is_ai_retry = True
        (told,) = await rig.work(held, analyst=analyst)
        await rig.queue().finish_all([held])
        return told

    in_vain = await again()
    assert (in_vain.outcome, in_vain.is_fallback, ai.asked) == ("unchanged", True, 2)
    ai.is_back = True
    done = await again()
    assert (done.outcome, done.is_fallback, ai.asked) == ("updated", False, 3)
    assert [update.version for update in rig.producer.updates] == [1, 2]
    assert (await again()).outcome == "unchanged"
    assert ai.asked == 3


async def test_a_contact_after_an_erasure_continues_the_version_numbers(rig: Rig) -> None:
    await rig.analyse(said("my card is 4111", 1))
    at = await Erasures(rig.database).remember(str(MARIA))
    stub = {"version": 2, "fence": 1, "forgotten_at": at, "outbox": [{"version": 2, "value": b"", "activity": None}]}
    await rig.database.contacts.replace_one({"_id": str(MARIA)}, stub)
    await Conversations(rig.database).requeue([str(MARIA)])
    assert await rig.analyse() is None
    assert await rig.database.messages.count_documents({}) == 0
    assert rig.producer.sent[-1][1] is None

    later = said("Hi", 2).model_copy(update={"occurred_at": at + timedelta(seconds=5)})
    contact = await rig.analyse(later)
    assert contact is not None
    assert (contact.version, contact.messages_inbound) == (3, 1)
    assert "forgotten_at" not in (await rig.database.contacts.find_one({}) or {})


async def test_an_edit_is_published_without_a_new_message(rig: Rig) -> None:
    contact = await rig.analyse(said("How much?", 1))
    assert contact is not None
    edited = contact.model_copy(update={"notes": "call after five", "version": 2})
    assert await Contacts(rig.database).write_edit(Change(edited, ("notes",), None))
    assert not await Contacts(rig.database).write_edit(Change(edited, ("notes",), None))
    await Conversations(rig.database).requeue([str(MARIA)])
    assert await rig.analyse() == edited
    assert [update.version for update in rig.producer.updates] == [1, 2]
    assert await rig.outbox() == []


async def test_conversations_with_too_many_messages_are_not_read_as_a_group(rig: Rig) -> None:
    await rig.apply(*(asked(who, number) for who in others(2) for number in range(3)))
    claims = await claimed(rig, 2)
    assert await rig.worker().read(claims, limit=5) is None
    assert await rig.worker().read(claims, limit=6) is not None
    assert await rig.worker().read(claims[:1], limit=None) is not None


async def test_a_lease_lost_during_publishing_leaves_everything_to_the_next_worker(rig: Rig) -> None:
    """They may have been forgotten meanwhile: no activity comes back, and nothing is taken out of the outbox."""
    await rig.use_sales()
    rig.producer.failures = 1
    await rig.apply(said("How much?", 0))
    await rig.tried(await rig.stale_claim())
    await edit_contact(rig.database, str(MARIA), ContactEdit(notes="call after five"), utc_now)
    held = await rig.claim()

    class Slow(FakeProducer):
        async def send_batch(self, batch: FakeBatch, _topic: str, *, partition: int) -> asyncio.Future[None]:
            held.held_until = 0
            return await super().send_batch(batch, _topic, partition=partition)

    rig.producer = Slow()
    assert await rig.work(held) == []
    assert [update.version for update in rig.producer.updates] == [1, 2]
    assert await rig.database.activities.count_documents({}) == 0
    assert await rig.outbox() == [1, 2]


async def test_a_very_long_conversation_is_processed_in_a_thread(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_GROUP_MESSAGES", 1)
    threads: list[threading.Thread] = []

    def noted(*told: Any) -> Change | None:
        threads.append(threading.current_thread())
        return next_contact(*told)

    monkeypatch.setattr(worker, "next_contact", noted)
    await rig.apply(said("How much?", 0), said("Hello?", 1))
    snapshots = await rig.worker().read([await rig.claim()], None)
    assert snapshots is not None
    assert "fingerprint" in vars(snapshots[0].loaded)
    await rig.worker().record(snapshots)
    assert threads
    assert threading.main_thread() not in threads
