"""`leadstream trace`: one message from its arrival to the published contact."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from services.analyzer.analysis.transcript import build_transcript, fingerprint
from services.analyzer.intake.aggregate import Aggregate
from services.cli.message_trace import Trace, Tracer
from shared.bus.producer import Record, open_producer, publish
from shared.contract.contacts import Contact, ContactUpdated, contact_updated_headers, dump_contact_updated
from shared.contract.dead_letters import DeadLetter, dead_letter_headers, dump_dead_letter
from shared.contract.events import Event, Source
from shared.contract.failures import Reason
from shared.contract.ids import ConversationKey
from shared.domain.messages import fold_all
from shared.runtime.clock import utc_now
from shared.store.contact_versions import OutboxEntry
from shared.store.conversation_updates import Timing
from shared.store.erasures import Erasures
from shared.store.mongo import Database
from tests.conftest import Stack, Start
from tests.support.contacts import analysis, contact, published_contact
from tests.support.making import MARIA, answered, reacted, said
from tests.support.models import dump_event, event_headers
from tests.support.topics import publish_events
from tests.support.waiting import eventually

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TWIN = ConversationKey(MARIA.platform, "372", "5")
TOLD: list[Event] = [
    said("How much?", 1, mid="m_1"),
    said("How much?", 1, mid="m_1", source=Source.BACKFILL),
    answered("500", 2),
]


class Rig:
    """Takes each step of a message."""

    def __init__(self, stack: Stack, database: Database) -> None:
        self.stack, self.database = stack, database

    async def publish(self, *events: Event) -> None:
        topic = self.stack.topics.message_events
        await self.send(
            *(Record(topic, str(e.conversation).encode(), dump_event(e), event_headers(e, TRACEPARENT)) for e in events)
        )

    async def send(self, *records: Record) -> None:
        async with open_producer(self.stack.kafka) as producer:
            await publish(producer, records)

    async def store(self, events: Sequence[Event]) -> None:
        await Aggregate(self.database, Timing(0, 0, 0)).apply(events)

    async def analyse(self, events: Sequence[Event], who: ConversationKey = MARIA, *outbox: OutboxEntry) -> Contact:
        transcript = build_transcript(who.platform, fold_all(events).values())
        assert transcript is not None
        known = contact(who, events, analysis(fingerprint=fingerprint(transcript)))
        waiting = [{"version": each.version, "value": each.value, "activity": None} for each in outbox]
        document = {"_id": str(who), **known.model_dump(), "fence": 1, "outbox": waiting}
        await self.database.contacts.insert_one(document)
        return known

    async def tell(self, known: Contact) -> None:
        update = ContactUpdated(contact_id=known.contact_id, version=known.version, changed=(), contact=known)
        topic, headers = self.stack.topics.contact_updated, contact_updated_headers(update)
        await self.send(Record(topic, known.contact_id.encode(), dump_contact_updated(update), headers))

    async def trace(self, mid: str = "m_1") -> list[Trace]:
        return await Tracer(self.database, self.stack.kafka, self.stack.topics, utc_now).trace(mid)

    async def stopped(self, mid: str = "m_1") -> str:
        (found,) = await self.trace(mid)
        return found.stopped


@pytest.fixture
async def rig(stack: Stack, database: Database) -> Rig:
    return Rig(stack, database)


@pytest.mark.parametrize("mid", ["m_1", "1", "messenger:371:m_1"])
async def test_a_published_message_is_traced_step_by_step(rig: Rig, mid: str) -> None:
    await rig.publish(said("another's", 0, who=TWIN), *TOLD, reacted("m_1", 3))
    everything: list[Event] = [*TOLD, reacted("m_1", 3)]
    await rig.store(everything)
    await rig.tell(await rig.analyse(everything))
    (found,) = await rig.trace(mid)
    assert (found.message_id, found.stopped) == ("messenger:371:1", "")
    assert [name for name, _ in found.steps] == ["event", "event", "event", "stored", "analysed", "published"]
    events = [facts for name, facts in found.steps if name == "event"]
    assert [(facts["event_id"], facts["source"]) for facts in events] == [
        ("message:messenger:371:1", "webhook"),
        ("message:messenger:371:1", "backfill"),
        ("reaction:messenger:371:1", "webhook"),
    ]
    assert {facts["traceparent"] for facts in events} == {TRACEPARENT}
    assert len({(facts["partition"], facts["offset"]) for facts in events}) == 3
    assert len({facts["partition"] for facts in events}) == 1
    steps = dict(found.steps)
    assert (steps["stored"]["conversation"], steps["stored"]["direction"]) == (str(MARIA), "inbound")
    assert (steps["analysed"]["version"], steps["analysed"]["score"]) == (1, 60)
    assert (steps["published"]["version"], steps["published"]["offset"]) == (1, 0)


async def test_a_trace_says_where_the_message_stopped(rig: Rig) -> None:
    """Each step is missing once."""
    assert "nothing is known of it" in await rig.stopped()
    await rig.publish(*TOLD)
    assert "no analyzer has read it yet" in await rig.stopped()
    await rig.store(TOLD)
    assert "it waits for its analysis, due at 20" in await rig.stopped()
    known = await rig.analyse(TOLD)
    assert "version 1 is not published: it waits for its analysis, due at 20" in await rig.stopped()
    await rig.tell(known)
    assert await rig.stopped() == ""
    await rig.store([said("And now?", 9)])
    assert "it waits for its analysis" in await rig.stopped()


async def test_a_message_known_only_by_a_reaction_was_never_seen(rig: Rig) -> None:
    await rig.store([reacted("m_1", 3)])
    assert "only a reaction or its deletion" in await rig.stopped()


async def test_a_trace_names_erased_and_parked_messages(rig: Rig) -> None:
    await rig.publish(*TOLD)
    await rig.store([said("Hello", 0)])
    await Erasures(rig.database).remember(str(MARIA))
    assert "the customer was erased" in await rig.stopped()
    letter = DeadLetter(
        reason=Reason.MALFORMED, where="receiver", parked_at=utc_now(), payload='{"message": {"mid": "m_odd"}}'
    )
    record = Record(rig.stack.topics.dead_letters, None, dump_dead_letter(letter), dead_letter_headers(letter))
    await rig.send(record)
    assert f"leadstream dlq show {letter.letter_id}" in await rig.stopped("m_odd")


async def test_a_trace_skips_foreign_records_and_partial_ids(rig: Rig) -> None:
    await rig.store(TOLD)
    topics, key = rig.stack.topics, str(MARIA).encode()
    await rig.send(Record(topics.contact_updated, key, b"{}", []), Record(topics.dead_letters, key, b"odd", []))
    await rig.tell(await rig.analyse(TOLD))
    assert await rig.stopped() == ""
    for unknown in ("messenger:371", "messenger:", "m_none"):
        assert "nothing is known of it" in await rig.stopped(unknown)


async def test_an_id_of_two_accounts_gives_two_traces(rig: Rig) -> None:
    await rig.store([*TOLD, said("mine", 1, mid="m_1", who=TWIN)])
    assert [each.message_id for each in await rig.trace()] == ["messenger:371:1", "messenger:372:1"]


async def test_the_command_prints_json_or_lines_and_hides_the_text(
    leadstream: Start, stack: Stack, database: Database
) -> None:
    analyzer = leadstream("analyzer")
    await publish_events(stack.kafka, stack.topics.message_events, TOLD)
    await eventually(lambda: published_contact(database, messages_outbound=1), bool)
    shown = [leadstream("trace", *args) for args in (("m_1", "--json"), ("1", "--text"), ("m_none",))]
    assert [process.wait() for process in shown] == [0, 0, 1], [process.output for process in shown]
    (found,) = map(json.loads, shown[0].lines())
    assert [each["step"] for each in found["steps"]] == ["event", "event", "stored", "analysed", "published"]
    assert found["stopped"] is None
    assert "How much?" not in shown[0].output
    assert "How much?" in shown[1].output
    assert "nothing is known of it" in shown[2].output
    assert analyzer.terminate() == 0
