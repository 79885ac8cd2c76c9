"""The analyzer as a process over real servers: events on the topic become published contacts, whatever happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, cast

import orjson
import pytest

from services.analyzer.intake.aggregate import Aggregate
from services.analyzer.intake.event_intake import DeadLetterPublisher, EventIntake
from shared.bus.consumer import open_consumer
from shared.bus.producer import Record, open_producer, publish
from shared.bus.reader import read_all
from shared.contract.contacts import AnalysisSource, Contact, LeadStatus
from shared.contract.dead_letters import load_dead_letter
from shared.contract.events import Event
from shared.contract.ids import ConversationKey, Platform
from shared.domain.messages import fold_all
from shared.domain.pipelines import OPEN_TYPES, Mode
from shared.runtime.clock import utc_now
from shared.runtime.metrics import AnalyzerMetrics
from shared.store.conversation_updates import Timing
from shared.store.mongo import Database
from tests.conftest import Stack, Start
from tests.support.contacts import analysis, put
from tests.support.contacts import contact as contact_of
from tests.support.idle_pool import IdlePool
from tests.support.making import MARIA, completed, listed, said
from tests.support.offsets import committed
from tests.support.outcome import assert_versions_are_whole, customers, messages, published, settled, story
from tests.support.topics import publish_events
from tests.support.waiting import eventually

ANY_TIME = {"version", "created_at", "updated_at", "analysed_at"}


def timeless(contact: Contact) -> dict[str, Any]:
    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without(each) for name, each in value.items() if name not in ANY_TIME}
        return value

    cleaned: dict[str, Any] = without(contact.model_dump())
    return cleaned


async def publish_junk(stack: Stack, values: Sequence[bytes]) -> None:
    async with open_producer(stack.kafka) as producer:
        await publish(producer, [Record(stack.topics.message_events, b"junk", value, []) for value in values])


async def test_events_become_contacts(stack: Stack, database: Database, leadstream: Start) -> None:
    everyone = customers(12)
    events = [event for who in everyone for event in [listed(0, who=who), *story(who), completed(90, who=who)]]
    await publish_events(stack.kafka, stack.topics.message_events, events)
    process = leadstream("analyzer")
    found = await settled(database, events)
    assert set(found) == set(map(str, everyone))
    for contact in found.values():
        assert contact.analysis is not None
        assert 1 <= contact.analysis.lead_score <= 100
        assert contact.name.full == "Maria Santos"
        assert (contact.messages_inbound, contact.messages_outbound) == (3, 1)
    assert process.terminate() == 0
    assert_versions_are_whole(await published(stack), found)
    assert "4111" not in process.output
    assert process.output.count('"conversation_analysed"') >= len(everyone)


async def test_any_order_and_duplication_gives_the_same_contact(
    stack: Stack, database: Database, leadstream: Start
) -> None:
    who = customers(8)
    told = story(who[0])
    events = [event for each in who for event in _shuffled(story(each), seed=each.customer_id)]
    assert len(events) > len(told) * len(who)
    leadstream("analyzer")
    for start in range(0, len(events), 7):
        await publish_events(stack.kafka, stack.topics.message_events, events[start : start + 7])
    found = await settled(database, events)
    for platform in Platform:
        same = [timeless(found[str(each)]) for each in who if each.platform is platform]
        for contact, each in zip(same, (e for e in who if e.platform is platform), strict=True):
            assert _anonymous(contact, each) == _anonymous(same[0], next(e for e in who if e.platform is platform))


def _shuffled(events: list[Event], seed: str) -> list[Event]:
    chance = random.Random(seed)
    again = [*events, *chance.choices(events, k=len(events))]
    chance.shuffle(again)
    return again


def _anonymous(contact: dict[str, Any], who: ConversationKey) -> Any:
    return orjson.loads(orjson.dumps(contact).replace(who.customer_id.encode(), b"ID"))


async def test_poison_neither_blocks_nor_disappears(stack: Stack, database: Database, leadstream: Start) -> None:
    junk = [b"{", b"", b'{"kind":"message","text":"secret"}', b'{"kind":"poke"}', b"\xff\xfe", b"\1" * (2 << 20)]
    await publish_junk(stack, junk)
    await publish_events(stack.kafka, stack.topics.message_events, [said("How much?", 1)])
    await publish_junk(stack, junk[:1])
    process = leadstream("analyzer")
    await settled(database, [said("How much?", 1)])
    letters = await eventually(
        lambda: read_all(stack.kafka, stack.topics.dead_letters), lambda records: len(records) >= len(junk) + 1
    )
    parked = [load_dead_letter(each.value) for each in letters]
    assert sorted(letter.raw for letter in parked) == sorted([*junk, junk[0]])
    assert {letter.where for letter in parked} == {"analyzer"}
    assert process.terminate() == 0
    assert "secret" not in process.output


async def test_an_account_with_a_pipeline_gives_its_contacts_a_stage(
    stack: Stack, database: Database, leadstream: Start
) -> None:
    assert leadstream("pipelines", "import", "sales").wait() == 0
    await database.accounts.insert_one({"_id": "messenger:371", "pipeline": "Sales"})
    await publish_events(stack.kafka, stack.topics.message_events, [said("How much?", 1)])
    process = leadstream("analyzer")
    contact = (await settled(database, [said("How much?", 1)]))[str(MARIA)]
    assert process.terminate() == 0
    assert contact.stage is not None
    shown = leadstream("contacts", "show", str(MARIA), "--json")
    assert shown.wait() == 0
    first, activity = map(orjson.loads, shown.output.splitlines())
    assert first["stage"]["name"] == activity["to_stage"] == contact.stage.name
    listing = leadstream("contacts", "list", "--json")
    assert listing.wait() == 0
    assert Contact.model_validate_json(listing.output) == contact


@pytest.mark.parametrize("mode", Mode)
async def test_an_analysis_moves_a_contact_that_a_fallback_closed(
    stack: Stack, database: Database, leadstream: Start, mode: Mode
) -> None:
    assert leadstream("pipelines", "import", "sales").wait() == 0
    await database.accounts.insert_one({"_id": "messenger:371", "pipeline": "Sales", "mode": mode})
    closed = contact_of(verdict=analysis(90, LeadStatus.WON, source=AnalysisSource.FALLBACK, model="earlier"))
    await put(database, closed)
    assert closed.is_provisional
    asked = [said("How much?", 1), said("How much is the other one?", 2)]
    await publish_events(stack.kafka, stack.topics.message_events, asked)
    process = leadstream("analyzer")
    opened = (await settled(database, asked))[str(MARIA)]
    assert process.terminate() == 0
    assert opened.stage is not None
    assert opened.stage.type in OPEN_TYPES


async def test_sigterm_drains(stack: Stack, database: Database, leadstream: Start) -> None:
    everyone = customers(40)
    events = [event for who in everyone for event in story(who)]
    process = leadstream("analyzer", LEADSTREAM_LEASE_SECONDS="600")
    await publish_events(stack.kafka, stack.topics.message_events, events)
    process.wait_for("conversation_analysed")
    assert process.terminate(10) == 0
    leadstream("analyzer")
    found = await settled(database, events)
    assert_versions_are_whole(await published(stack), found)


class DiedError(Exception):
    """In the place of a kill between write and commit."""


async def die(_offsets: object) -> None:
    raise DiedError


class NoDeadLetters:
    async def publish(self, letters: Sequence[object]) -> None:
        assert not letters


async def test_a_batch_that_was_written_but_not_committed_is_read_again(
    stack: Stack, database: Database, leadstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = story(MARIA)
    await publish_events(stack.kafka, stack.topics.message_events, events)
    group = f"{stack.topic_prefix}analyzer"
    async with open_consumer(stack.kafka, stack.topics.message_events, group) as consumer:
        monkeypatch.setattr(consumer, "commit", die)
        aggregate, parking = Aggregate(database, Timing(0, 0, 0)), cast("DeadLetterPublisher", NoDeadLetters())
        intake = EventIntake(consumer, aggregate, parking, IdlePool(), utc_now, AnalyzerMetrics())
        with pytest.raises(DiedError):
            await intake.run(asyncio.Event())
        assert await messages(database) == fold_all(events)
        assert not await committed(stack.kafka, stack.topics.message_events, group)
    leadstream("analyzer")

    async def revision() -> int:
        found = await database.conversations.find_one({"_id": str(MARIA)})
        return int(found["revision"]) if found else 0

    await eventually(revision, lambda number: number == 2)
    contact = (await settled(database, events))[str(MARIA)]
    assert contact.version == 1
    assert await messages(database) == fold_all(events)


@pytest.mark.parametrize("arguments", [("contacts", "show", "messenger:1:2"), ("pipelines", "import", "nothing")])
def test_an_unknown_contact_or_template_is_reported(leadstream: Start, arguments: tuple[str, ...]) -> None:
    process = leadstream(*arguments)
    assert process.wait() == {"contacts": 1, "pipelines": 2}[arguments[0]]


def test_a_server_that_is_not_there_is_status_3(leadstream: Start) -> None:
    away = leadstream("analyzer", LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    nowhere = leadstream(
        "contacts", "list", LEADSTREAM_MONGO_URL="mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=300"
    )
    assert (away.wait(), nowhere.wait()) == (3, 3)
