"""An erasure removes a customer everywhere, whatever runs meanwhile and however often it is started."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from services.analyzer.contact.outbox import Outbox
from services.analyzer.erasure.erasure import Erased, Erasure, NothingKnownError
from services.analyzer.intake.aggregate import Aggregate
from services.analyzer.queue.claim_queue import Claim, ClaimQueue
from services.backfill.crawl.checkpoints import CheckpointStore, History
from shared.bus.reader import read_all
from shared.contract.contacts import Change, load_contact_updated
from shared.contract.events import Event, Source
from shared.contract.ids import ConversationKey
from shared.domain.contact_edits import ContactEdit
from shared.runtime.clock import utc_now
from shared.store.contact_editing import edit_contact
from shared.store.contact_versions import OutboxEntry, VersionWrite
from shared.store.contacts import Contacts
from shared.store.conversation_updates import Timing
from shared.store.erasures import Erasures
from shared.store.mongo import ConnectionFailure, Database
from tests.conftest import Stack, Start
from tests.support.contacts import contact, published_contact
from tests.support.making import EPOCH, MARIA, answered, completed, listed, reacted, said, unsent
from tests.support.topics import publish_events
from tests.support.waiting import eventually

AT_ONCE = Timing(0, 0, 0)
JUAN = ConversationKey(MARIA.platform, MARIA.account_id, "9")
SECRETS = ("Maria", "Santos", "maria@example.org", "4111")


class DiedError(Exception):
    """The process was killed here."""


@dataclass
class FakeOutbox:
    """Publishes at once; what is published is out of the document."""

    contacts: Contacts
    published: list[OutboxEntry] = field(default_factory=list)

    async def publish_one(self, claim: Claim, entries: Sequence[OutboxEntry]) -> None:
        claim.require_held()
        self.published += entries
        await self.contacts.published_all([(claim.contact_id, entry) for entry in entries])


@dataclass
class Rig:
    database: Database
    outbox: FakeOutbox = field(init=False)
    waits: int = 0

    def __post_init__(self) -> None:
        self.outbox = FakeOutbox(Contacts(self.database))

    def queue(self, lease_seconds: float = 60) -> ClaimQueue:
        return ClaimQueue(self.database, "owner", lease_seconds, AT_ONCE)

    async def erase(self, who: ConversationKey = MARIA, lease_seconds: float = 60) -> Erased:
        def waiting() -> None:
            self.waits += 1

        outbox = cast("Outbox", self.outbox)
        return await Erasure(self.database, self.queue(lease_seconds), outbox, waiting).erase(who)

    async def apply(self, *events: Event) -> None:
        await Aggregate(self.database, AT_ONCE).apply(events)

    async def know(self) -> None:
        """Maria and Juan, in every collection."""
        for who, name in ((MARIA, "Maria Santos"), (JUAN, "Juan")):
            events = history(who, name)
            await self.apply(listed(0, name=name, who=who), *events, reacted("m_unknown", 4, who=who))
            await CheckpointStore(self.database).remember(who, History("run", "t_1", None, 3))
            await self.database.conversations.update_one({"_id": str(who)}, {"$unset": {"due_at": ""}})
            known = contact(who, events)
            await self.database.contacts.insert_one({"_id": str(who), **known.model_dump(), "fence": 1, "outbox": []})
            await self.database.activities.insert_one({"_id": f"{who}#1", "contact_id": str(who), "reasoning": name})

    async def everything(self, who: ConversationKey = MARIA) -> str:
        """All that any collection has of a customer, but for the account's and the system's own."""
        found = []
        for name in ("messages", "conversations", "contacts", "activities", "erasures"):
            found += [each async for each in self.database[name].find({"$or": of(who)})]
        return repr(found)

    async def stub(self) -> dict[str, Any]:
        found = await self.database.contacts.find_one({"_id": str(MARIA)})
        assert found is not None
        return found


def of(who: ConversationKey) -> list[dict[str, str]]:
    return [{"_id": str(who)}, {"conversation": str(who)}, {"contact_id": str(who)}]


def history(who: ConversationKey, name: str) -> list[Event]:
    more: dict[str, Any] = {"source": Source.BACKFILL, "who": who}
    return [
        said(
            f"I am {name}, maria@example.org, my card is 4111", 1, mid=f"m_{who.customer_id}1", sender_name=name, **more
        ),
        answered("Thank you", 2, mid=f"m_{who.customer_id}2", **more),
        unsent(f"m_{who.customer_id}3", 3, who),
    ]


@pytest.fixture
async def rig(database: Database) -> Rig:
    made = Rig(database)
    await made.know()
    return made


async def test_an_erasure_removes_all_of_one_customer_and_nothing_of_others(rig: Rig) -> None:
    juan = await rig.everything(JUAN)
    erased = await rig.erase()
    assert (erased.messages, erased.activities, erased.version) == (4, 1, 2)
    left = await rig.everything()
    assert [secret for secret in SECRETS if secret in left] == []
    assert set(await rig.stub()) == {"_id", "version", "fence", "outbox", "forgotten_at"}
    assert await rig.everything(JUAN) == juan
    assert [(entry.version, entry.value) for entry in rig.outbox.published] == [(2, b"")]
    assert await rig.queue().claim(10) == []


async def test_an_erasure_keeps_the_backfills_checkpoint(rig: Rig) -> None:
    store = CheckpointStore(rig.database)
    before = await store.known([MARIA])
    await rig.erase()
    assert await store.known([MARIA]) == before
    assert before[MARIA].history is not None


async def test_history_that_is_read_again_stays_erased(rig: Rig) -> None:
    await rig.erase()
    await rig.apply(listed(0, name="Maria Santos"), *history(MARIA, "Maria Santos"), reacted("m_unknown", 4))
    left = await rig.everything()
    assert [secret for secret in SECRETS if secret in left] == []
    assert await rig.database.messages.count_documents({"conversation": str(MARIA)}) == 0


async def test_a_batch_in_flight_during_an_erasure_is_erased_by_the_next_analysis(rig: Rig) -> None:
    at = (await rig.erase()).at
    behind = Aggregate(rig.database, AT_ONCE, cast("Erasures", NobodyForgotten()))
    await behind.apply([listed(0, name="Maria Santos"), *history(MARIA, "Maria Santos"), reacted("m_unknown", 4)])
    assert "Maria" in await rig.everything()
    assert await Erasures(rig.database).erase(str(MARIA), at) == 4
    left = await rig.everything()
    assert [secret for secret in SECRETS if secret in left] == []


class NobodyForgotten:
    """As a batch has seen it that began before."""

    async def of(self, _keys: object) -> dict[str, object]:
        return {}


async def test_messages_after_an_erasure_are_stored_and_analysed(rig: Rig) -> None:
    """Also what was said while a worker was waited for."""
    at = await Erasures(rig.database).remember(str(MARIA))
    seconds = (utc_now() - said("", 0).occurred_at).total_seconds()
    await rig.apply(said("Hello again", seconds + 30, mid="m_new"))
    erased = await rig.erase()
    assert erased.at >= at
    (left,) = [each["_id"] async for each in rig.database.messages.find({"conversation": str(MARIA)})]
    assert left == "messenger:371:new"
    (claim,) = await eventually(lambda: rig.queue().claim(10), bool)
    assert claim.contact_id == str(MARIA)


async def test_an_erasure_waits_for_the_worker_that_holds_the_conversation(rig: Rig) -> None:
    await rig.apply(said("How much?", 10))
    (claim,) = await eventually(lambda: rig.queue().claim(1), bool)
    forgetting = asyncio.create_task(rig.erase())
    await eventually(lambda: waits(rig), bool)
    assert "Maria" in await rig.everything()
    await rig.queue().finish_all([claim])
    await forgetting
    assert rig.waits == 1
    assert "Maria" not in await rig.everything()


async def waits(rig: Rig) -> int:
    return rig.waits


async def test_a_stalled_worker_can_write_nothing_after_an_erasure(rig: Rig) -> None:
    await rig.apply(said("How much?", 10))
    (stale,) = await eventually(lambda: rig.queue(lease_seconds=0.05).claim(1), bool)
    await rig.erase()
    stub = await rig.stub()
    anew = contact().model_copy(update={"version": stub["version"] + 1})
    late = VersionWrite(Change(anew, ("name",), None), stub["version"], stale.fence)
    assert await Contacts(rig.database).write_all([late]) == {}
    assert await rig.stub() == stub


async def test_a_stalled_worker_can_write_nothing_after_a_second_erasure(rig: Rig) -> None:
    await rig.erase()
    seconds = (utc_now() - said("", 0).occurred_at).total_seconds()
    await rig.apply(said("Hello", seconds + 30))
    (stale,) = await eventually(lambda: rig.queue(lease_seconds=0.05).claim(1), bool)
    await rig.erase()
    assert (await rig.stub())["fence"] > stale.fence


async def test_a_version_that_may_be_unpublished_is_published_before_the_tombstone(rig: Rig) -> None:
    """Its worker died behind the write."""
    await edit_contact(rig.database, str(MARIA), ContactEdit(notes="x"), utc_now)
    await rig.database.contacts.update_one({"_id": str(MARIA)}, {"$set": {"outbox": []}})
    await rig.database.conversations.update_one({"_id": str(MARIA)}, {"$set": {"lease": {"until": EPOCH}}})
    await rig.erase()
    assert [entry.version for entry in rig.outbox.published] == [2, 3]


async def test_an_edit_that_races_with_an_erasure_is_published_before_it_or_refused(rig: Rig) -> None:
    edits = (edit_contact(rig.database, str(MARIA), ContactEdit(notes=f"Maria {n}"), utc_now) for n in range(4))
    done = await asyncio.gather(rig.erase(), *edits, return_exceptions=True)
    assert "Maria" not in await rig.everything()
    made = sum(not isinstance(each, Exception) for each in done[1:])
    versions = [entry.version for entry in rig.outbox.published]
    assert versions == sorted(versions)  # one may be told twice, and none behind a later one
    assert set(versions) == set(range(2, made + 3))
    assert [entry.value for entry in rig.outbox.published][-1] == b""


async def test_a_second_erasure_publishes_no_second_tombstone(rig: Rig) -> None:
    first = await rig.erase()
    again = await rig.erase()
    assert (again.version, again.messages, again.at >= first.at) == (first.version, 0, True)
    assert len(rig.outbox.published) == 1


async def test_the_erasure_of_an_unknown_customer_writes_nothing(database: Database) -> None:
    with pytest.raises(NothingKnownError):
        await Rig(database).erase()
    assert await database.contacts.count_documents({}) == 0
    assert await database.erasures.count_documents({}) == 0


async def test_a_conversation_known_only_to_a_backfill_can_be_erased(database: Database) -> None:
    await CheckpointStore(database).remember(MARIA, History("run", "t_1", None, 3))
    await Rig(database).erase()
    conversation = await database.conversations.find_one({"_id": str(MARIA)})
    assert conversation is not None
    assert {"lease", "due_at", "first_pending_at"} & conversation.keys() == set()


STEPS = ["remembered", "taken", "published_first", "stub", "erased", "published"]


@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_erasure_is_completed_by_the_next(rig: Rig, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    with monkeypatch.context() as patch:
        die_after(step, patch)
        with pytest.raises((DiedError, ExceptionGroup)):
            await rig.erase(lease_seconds=0.2)
    assert step == "remembered" or await rig.database.conversations.find_one(
        {"_id": str(MARIA), "due_at": {"$exists": True}}
    )
    await rig.erase()
    left = await rig.everything()
    assert [secret for secret in SECRETS if secret in left] == []
    stub = await rig.stub()
    assert (stub["version"], stub["outbox"]) == (2, [])
    assert {(entry.version, entry.value) for entry in rig.outbox.published} == {(2, b"")}


@pytest.mark.parametrize("step", ["claim_these", "finish_all"])
async def test_an_erasure_outlasts_an_absent_database(rig: Rig, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    called, failures = getattr(ClaimQueue, step), [ConnectionFailure()]

    async def fail_once(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return await called(*arguments)

    monkeypatch.setattr(ClaimQueue, step, fail_once)
    assert (await rig.erase()).version == 2
    conversation = await rig.database.conversations.find_one({"_id": str(MARIA)})
    assert failures == []
    assert conversation is not None
    assert "lease" not in conversation


def die_after(step: str, patch: pytest.MonkeyPatch) -> None:
    owner, name = {
        "remembered": (Erasures, "remember"),
        "taken": (Erasure, "_claim"),
        "published_first": (FakeOutbox, "publish_one"),
        "stub": (Erasure, "_put_stub"),
        "erased": (Erasures, "erase"),
        "published": (Contacts, "published_all"),
    }[step]
    before = getattr(owner, name)

    async def then_die(*arguments: object) -> None:
        await before(*arguments)
        raise DiedError

    patch.setattr(owner, name, then_die)


async def test_an_operator_erases_a_customer_while_the_analyzer_runs(
    leadstream: Start, stack: Stack, database: Database
) -> None:
    analyzer, topic = leadstream("analyzer"), stack.topics.message_events
    read = [listed(0, name="Maria Santos"), *history(MARIA, "Maria Santos"), completed(5)]
    await publish_events(stack.kafka, topic, read)
    await eventually(lambda: published_contact(database, **{"name.first": "Maria"}), bool)
    erase = leadstream("contacts", "forget", str(MARIA), "--yes")
    assert erase.wait() == 0, erase.output
    assert "until their retention ends" in erase.output
    told = await read_all(stack.kafka, stack.topics.contact_updated)
    assert [(each.key, bool(each.value)) for each in told[-2:]] == [
        (str(MARIA).encode(), each) for each in (True, False)
    ]
    assert dict(told[-1].headers)["ce_type"] == b"leadstream.contact-forgotten.v1"

    seconds = (utc_now() - said("", 0).occurred_at).total_seconds() + 60
    await publish_events(stack.kafka, topic, [*read, said("Hello", seconds, mid="m_new")])
    anew = await eventually(lambda: published_contact(database, messages_inbound=1), bool)
    assert anew is not None
    assert anew["name"]["source"] == "placeholder"
    last = load_contact_updated((await read_all(stack.kafka, stack.topics.contact_updated))[-1].value)
    assert last.version == len(told) + 1 == anew["version"]
    assert await database.messages.count_documents({}) == 1
    assert analyzer.terminate() == 0


async def test_a_backfill_brings_nothing_of_an_erased_customer_back(
    leadstream: Start, stack: Stack, database: Database, simulator: dict[str, Any]
) -> None:
    """Also where nothing is known any more of how far it had been read."""
    instagram = next(each for each in simulator["accounts"] if each["platform"] == "instagram")
    names = ("--name", "x", "--page", instagram["page_id"])
    secret = {"LEADSTREAM_GRAPH_URL": simulator["graph_url"], "LEADSTREAM_APP_SECRETS": simulator["app_secret"]}
    added = leadstream("accounts", "add", "instagram", instagram["id"], *names, stdin=instagram["token"])
    assert added.wait() == 0, added.output
    analyzer = leadstream("analyzer", env=secret)
    for again in (False, True):
        run = leadstream("backfill", "run", env=secret)
        assert run.wait() == 0, run.output
        if not again:
            await eventually(lambda: database.contacts.count_documents({}), lambda number: number == 25)
            gone = (await database.contacts.find({}).sort("_id", 1).to_list(1))[0]["_id"]
            await Rig(database).erase(ConversationKey.parse(gone))
            await database.conversations.update_one({"_id": gone}, {"$unset": {"history": ""}})
            await database.crawls.delete_many({})
    await eventually(lambda: database.conversations.find_one({"_id": gone, "history": {"$exists": True}}), bool)
    due = {"due_at": {"$exists": True}}
    await eventually(lambda: database.conversations.count_documents(due), lambda number: number == 0)
    assert await database.messages.count_documents({"conversation": gone}) == 0
    assert await database.contacts.count_documents({"_id": gone, "forgotten_at": {"$exists": True}}) == 1
    conversation = await database.conversations.find_one({"_id": gone})
    assert conversation is not None
    assert "participants" not in conversation
    assert analyzer.terminate() == 0
