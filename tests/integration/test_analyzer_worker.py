"""From a due conversation to a published contact, over a real server: once, in order, and never by a stale worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from services.analyzer.aggregate import Aggregate
from services.analyzer.analyst import Brief
from services.analyzer.history import Histories
from services.analyzer.marks import Timing
from services.analyzer.outbox import Outbox
from services.analyzer.placement import Placements
from services.analyzer.queue import Claim, Queue
from services.analyzer.worker import Recorded, Worker
from shared.accounts import account_key
from shared.clock import utc_now
from shared.contact_store import Contacts
from shared.contacts import AnalysisSource, Contact, ContactUpdated, LeadStatus, Verdict, load_contact_updated
from shared.events import Event, Referral, ReferralEvent, Source
from shared.kafka import AIOKafkaProducer, KafkaError, Topics
from shared.metrics import AnalyzerMetrics
from shared.mongo import Database
from shared.pipelines import template
from tests.support.making import MARIA, answered, listed, reacted, said, unsent
from tests.support.waiting import eventually

AT_ONCE = Timing(0, 0, 0)


class FakeBatch:
    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes]] = []

    def append(self, *, timestamp: None, key: bytes, value: bytes, headers: object) -> object:
        self.records.append((key, value))
        return self

    def close(self) -> None:
        pass


@dataclass
class FakeProducer:
    """Keeps what is acknowledged; the next `failures` sends are not."""

    sent: list[tuple[bytes, bytes]] = field(default_factory=list)
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
        return [load_contact_updated(value) for _, value in self.sent]


@dataclass
class FakeAnalyst:
    """Scores the number of lines; `before` runs first."""

    briefs: list[Brief] = field(default_factory=list)
    before: Callable[[], Awaitable[None]] | None = None
    status: LeadStatus = LeadStatus.QUALIFIED

    async def analyse(self, brief: Brief) -> Verdict:
        self.briefs.append(brief)
        if self.before:
            await self.before()
        return Verdict(
            summary=" | ".join(line.text for line in brief.transcript.lines),
            lead_score=50 + len(brief.transcript.lines),
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

    def queue(self, lease_seconds: float = 60) -> Queue:
        return Queue(self.database, "owner", lease_seconds, AT_ONCE)

    def worker(self, analyst: FakeAnalyst | None = None) -> Worker:
        contacts, metrics = Contacts(self.database.contacts), AnalyzerMetrics()
        producer = cast("AIOKafkaProducer", self.producer)
        outbox = Outbox(producer, Topics(), contacts, self.database.activities, metrics)
        histories, placements = Histories(self.database), Placements(self.database)
        return Worker(histories, contacts, outbox, placements, analyst or self.analyst, utc_now, metrics)

    async def work(self, *held: Claim, analyst: FakeAnalyst | None = None) -> list[Recorded]:
        """Those that are read, written and published."""
        worker = self.worker(analyst)
        return await worker.tell(await worker.record(await worker.read(held) or []))

    async def tell(self, *events: Event) -> None:
        await Aggregate(self.database, AT_ONCE).apply(events)

    async def claim(self, lease_seconds: float = 60) -> Claim:
        (held,) = await eventually(lambda: self.queue(lease_seconds).claim(1), bool)
        return held

    async def look(self, *events: Event) -> Contact | None:
        """The contact after one look at what `events` tell."""
        await self.tell(*events)
        held = await self.claim()
        await self.work(held)
        await self.queue().finish(held)
        return await self.contact()

    async def contact(self) -> Contact | None:
        stored = await Contacts(self.database.contacts).load(str(MARIA))
        return stored.contact if stored else None

    async def outbox(self) -> list[Any]:
        found = await self.database.contacts.find_one({"_id": str(MARIA)})
        return found["outbox"] if found else []

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
    contact = await rig.look(listed(0), told, answered("500", 2))
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


async def test_the_same_content_is_never_analysed_twice_and_makes_no_version(rig: Rig) -> None:
    first = await rig.look(said("How much?", 1))
    assert await rig.look(said("How much?", 1)) == first
    assert len(rig.analyst.briefs) == len(rig.producer.sent) == 1


async def test_a_name_that_comes_later_is_a_version_without_an_analysis(rig: Rig) -> None:
    placeholder = await rig.look(said("How much?", 1))
    named = await rig.look(listed(2, name="Maria Santos"))
    assert placeholder is not None
    assert named is not None
    assert (placeholder.name.full, named.name.full) == ("User 654321", "Maria Santos")
    assert (named.version, rig.producer.updates[-1].changed) == (2, ("name",))
    assert len(rig.analyst.briefs) == 1
    again = await rig.look(listed(3))
    assert again == named


async def test_what_a_person_edited_stays(rig: Rig) -> None:
    await rig.use_sales()
    await rig.look(said("How much?", 1))
    edit = {"name.first": "Mary", "name.last": "", "name.source": "person", "edited": ["name", "stage"], "stage": None}
    await rig.database.contacts.update_one({}, {"$set": edit})
    contact = await rig.look(said("I will take it", 2, source=Source.BACKFILL, sender_name="Maria Santos"))
    assert contact is not None
    assert (contact.name.full, contact.stage, contact.version) == ("Mary", None, 2)
    assert contact.analysis is not None
    assert contact.analysis.messages_read == 2


async def test_a_persons_edit_during_an_analysis_is_merged_and_the_analysis_is_not_made_anew(rig: Rig) -> None:
    await rig.look(said("How much?", 1))

    async def edit() -> None:
        change = {"$set": {"notes": "call after five", "edited": ["notes"]}, "$inc": {"version": 1}}
        await rig.database.contacts.update_one({}, change)

    rig.analyst.before = edit
    contact = await rig.look(said("I will take it", 2))
    assert contact is not None
    assert (contact.notes, contact.version, len(rig.analyst.briefs)) == ("call after five", 3, 2)


async def test_without_a_message_there_is_no_contact(rig: Rig) -> None:
    fields = listed(0).model_dump(include={*ReferralEvent.model_fields} - {"kind", "referral"})
    referral = ReferralEvent(referral=Referral(ref="r"), **fields)
    assert await rig.look(listed(0), referral, reacted("m_unknown", 1), unsent("m_other", 2)) is None
    assert rig.producer.sent == []
    assert await rig.queue().claim(1) == []


async def test_what_was_unsent_is_gone_from_the_contact(rig: Rig) -> None:
    await rig.look(said("my card is 4111", 1, mid="m_1"))
    contact = await rig.look(unsent("m_1", 2))
    assert contact is not None
    assert contact.analysis is not None
    assert 1 <= contact.analysis.lead_score <= 100
    stored = await rig.database.contacts.find_one({})
    assert "4111" not in repr(stored)
    assert "4111" not in repr(await rig.database.messages.find_one({}))
    assert len(rig.analyst.briefs) == 1


async def test_a_version_that_was_not_acknowledged_is_published_first_with_the_same_bytes(rig: Rig) -> None:
    rig.producer.failures = 1
    await rig.tell(said("How much?", 1))
    assert await rig.work(await rig.claim(lease_seconds=0.05)) == []
    (left,) = await rig.outbox()
    await rig.look(said("I will take it", 2))
    assert [update.version for update in rig.producer.updates] == [1, 2]
    assert rig.producer.sent[0] == (str(MARIA).encode(), left["value"])
    assert await rig.outbox() == []


async def test_a_stale_worker_can_neither_write_nor_publish(rig: Rig) -> None:
    await rig.tell(said("How much?", 1))
    stale = await rig.claim(lease_seconds=0.05)

    async def overtaken() -> None:
        await rig.look(said("I will take it", 2))

    assert await rig.work(stale, analyst=FakeAnalyst(before=overtaken)) == []
    contact = await rig.contact()
    assert contact is not None
    assert contact.analysis is not None
    assert (contact.version, contact.analysis.messages_read) == (1, 2)
    assert [update.contact for update in rig.producer.updates] == [contact]


async def test_a_stale_worker_cannot_bring_back_what_was_unsent_meanwhile(rig: Rig) -> None:
    """The look that overtakes it finds the contact as it should be and changes nothing: its fence must stand."""
    before = await rig.look(said("How much?", 1))
    await rig.tell(said("my card is 4111", 2, mid="m_2"))
    stale = await rig.claim(lease_seconds=0.05)

    async def overtaken() -> None:
        assert await rig.look(unsent("m_2", 3)) == before

    assert await rig.work(stale, analyst=FakeAnalyst(before=overtaken)) == []
    assert await rig.contact() == before


async def test_a_version_has_one_content_whoever_races_for_it(rig: Rig) -> None:
    await rig.tell(said("How much?", 1))
    held = await rig.claim()
    await asyncio.gather(*(rig.work(held) for _ in range(4)))
    contact = await rig.contact()
    assert contact is not None
    contents = {
        update.version: value for update, (_, value) in zip(rig.producer.updates, rig.producer.sent, strict=True)
    }
    assert len(set(rig.producer.sent)) == len(contents)
    assert sorted(contents) == list(range(1, contact.version + 1))
