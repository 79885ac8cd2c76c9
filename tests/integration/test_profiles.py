"""Contacts from webhooks get their names from the platform, once, in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession
from cryptography.fernet import Fernet
from pydantic import SecretStr

from services.analyzer.profiles.profile_worker import compose_profiles
from shared.bus.producer import Record, open_producer, publish
from shared.contract.contacts import (
    Contact,
    ContactUpdated,
    NameSource,
    contact_updated_headers,
    dump_contact_updated,
    load_contact_updated,
)
from shared.contract.ids import ConversationKey, Platform
from shared.domain.accounts import Account
from shared.domain.contact_edits import AutomaticField, ContactEdit
from shared.runtime.clock import utc_now
from shared.runtime.crypto import TokenVault
from shared.runtime.settings import AnalyzerSettings
from shared.store.contact_editing import edit_contact
from shared.store.contacts import Contacts
from shared.store.mongo import Database
from shared.store.profile_queue import ProfileQueue
from tests.conftest import Stack
from tests.support.contacts import contact, put
from tests.support.waiting import eventually

KEY = Fernet.generate_key().decode()


class Rig:
    """The simulator, and an analyzer's profile worker that asks it."""

    def __init__(self, stack: Stack, database: Database, simulator: dict[str, Any], session: ClientSession) -> None:
        self.stack = stack
        self.database = database
        self.url = simulator["graph_url"]
        self.secret = SecretStr(simulator["app_secret"])
        self.accounts = {Platform(each["platform"]): each for each in simulator["accounts"]}
        self._session = session

    async def customers(self, platform: Platform) -> list[tuple[ConversationKey, str]]:
        async with self._session.get(f"{self.url}/_simulator/messages") as answer:
            found = [each for each in await answer.json() if each["platform"] == platform]
        return [(ConversationKey(platform, each["account_id"], each["customer_id"]), each["name"]) for each in found]

    async def configure(self, **what: object) -> None:
        async with self._session.post(f"{self.url}/_simulator/configure", json=what) as answer:
            assert answer.status == 200

    async def calls(self) -> int:
        async with self._session.get(f"{self.url}/_simulator/stats") as answer:
            return int((await answer.json()).get("node", 0))

    async def add(self, platform: Platform) -> None:
        one = self.accounts[platform]
        encrypted = TokenVault([KEY]).encrypt(one["token"])
        account = Account(
            platform=platform, account_id=one["id"], page_id=one["page_id"], name="x", encrypted_token=encrypted
        )
        await self.database.accounts.insert_one({"_id": account.key, **account.model_dump(mode="json")})

    async def outcome(self, who: ConversationKey) -> str | None:
        found = await self.database.profiles.find_one({"_id": str(who)})
        outcome: str | None = found.get("outcome") if found else None
        return outcome

    async def contact(self, who: ConversationKey) -> Contact:
        stored = await Contacts(self.database).load(str(who))
        assert stored is not None
        assert stored.contact is not None
        return stored.contact

    async def know(self, *customers: ConversationKey) -> None:
        """Publish the contacts as the analyzer does."""
        contacts = [contact(who) for who in customers]
        await put(self.database, *contacts)
        updates = [ContactUpdated(contact_id=c.contact_id, version=1, changed=(), contact=c) for c in contacts]
        topic = self.stack.topics.contact_updated
        async with open_producer(self.stack.kafka) as producer:
            await publish(
                producer,
                [
                    Record(topic, u.contact_id.encode(), dump_contact_updated(u), contact_updated_headers(u))
                    for u in updates
                ],
            )

    async def queue(self, *customers: ConversationKey) -> None:
        """Queue the contacts as if contact-updated had been read."""
        await put(self.database, *map(contact, customers))
        await ProfileQueue(self.database).add(map(contact, customers))

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        settings = AnalyzerSettings(
            kafka_bootstrap_servers=self.stack.servers.kafka, topic_prefix=self.stack.topic_prefix, graph_url=self.url,
            encryption_keys=(SecretStr(KEY),), app_secrets=(self.secret,),
        )  # fmt: skip
        profiles, stop = compose_profiles(settings, self.database), asyncio.Event()
        assert profiles is not None
        profiles.poll_seconds = 0.05
        async with asyncio.TaskGroup() as group:
            group.create_task(profiles.run(stop))
            try:
                yield
            finally:
                stop.set()


@pytest.fixture
async def rig(stack: Stack, database: Database, simulator: dict[str, Any]) -> AsyncIterator[Rig]:
    async with ClientSession() as session:
        yield Rig(stack, database, simulator, session)


async def test_a_nameless_contact_gets_name_and_picture_in_an_unpublished_version(rig: Rig) -> None:
    expected: dict[ConversationKey, str] = {}
    for platform in Platform:
        await rig.add(platform)
        expected |= dict((await rig.customers(platform))[:3])
    await rig.know(*expected)
    async with rig.asking():
        for who in expected:
            await eventually(lambda who=who: rig.outcome(who), bool)  # type: ignore[misc]
    for who, name in expected.items():
        found = await rig.contact(who)
        if found.name.source is NameSource.PROFILE:
            assert found.name.full == name
        else:
            assert (who.platform, found.name.source) == (Platform.INSTAGRAM, NameSource.USERNAME)
        assert found.profile_pic is not None
        assert found.profile_pic.endswith(f"{who.customer_id}.jpg")
        assert (found.locale, found.timezone) == (("en_PH", 8) if who.platform is Platform.MESSENGER else (None, None))
        stored = await Contacts(rig.database).load(str(who))
        assert stored is not None
        assert [load_contact_updated(entry.value).contact for entry in stored.outbox] == [found]
        assert await rig.database.conversations.find_one({"_id": str(who), "due_at": {"$exists": True}})
    assert {(await rig.contact(who)).name.source for who in expected} >= {NameSource.PROFILE}
    assert await rig.calls() == len(expected)


async def test_several_instances_look_up_each_contact_once_also_if_refused(rig: Rig) -> None:
    await rig.add(Platform.MESSENGER)
    (who, _), *_ = await rig.customers(Platform.MESSENGER)
    gone = who._replace(customer_id="404")
    unknown = ConversationKey(Platform.MESSENGER, "never added", "1")
    named = (await rig.customers(Platform.MESSENGER))[1][0]
    await rig.queue(who, gone, unknown, named)
    await edit_contact(rig.database, str(named), ContactEdit(name="Mary"), utc_now)
    async with rig.asking(), rig.asking():
        await eventually(lambda: rig.outcome(who), bool)
        await eventually(lambda: rig.outcome(gone), bool)
        await asyncio.sleep(0.3)  # several polls
    assert await rig.calls() == 2
    assert (await rig.outcome(gone), (await rig.contact(gone)).version) == ("refused", 1)
    assert (await rig.outcome(unknown), await rig.outcome(named)) == (None, "named")
    assert (await rig.contact(named)).name.full == "Mary"


async def test_a_name_given_back_is_looked_up_again(rig: Rig) -> None:
    await rig.add(Platform.MESSENGER)
    (who, name), *_ = await rig.customers(Platform.MESSENGER)
    await rig.queue(who)
    async with rig.asking():
        await eventually(lambda: rig.outcome(who), bool)
        await edit_contact(rig.database, str(who), ContactEdit(name="Mary"), utc_now)
        given_back = await edit_contact(
            rig.database, str(who), ContactEdit(given_back=frozenset({AutomaticField.NAME})), utc_now
        )
        await ProfileQueue(rig.database).add([given_back])
        await eventually(lambda: rig.contact(who), lambda found: found.name.full == name)
    assert await rig.calls() == 2


async def test_an_account_with_a_refused_token_cools_down_and_its_contacts_stay_queued(rig: Rig) -> None:
    await rig.add(Platform.MESSENGER)
    await rig.configure(revoked=True)
    asked = [who for who, _ in (await rig.customers(Platform.MESSENGER))[:4]]
    await rig.queue(*asked)
    async with rig.asking():
        await eventually(rig.calls, bool)
        await asyncio.sleep(0.3)  # several polls
    assert await rig.calls() == 1
    assert {await rig.outcome(who) for who in asked} == {None}


def test_no_profile_is_looked_up_without_encryption_keys(database: Database) -> None:
    assert compose_profiles(AnalyzerSettings(), database) is None
