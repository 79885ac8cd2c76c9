"""The console over real servers: what it shows, changes and streams."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, CookieJar
from yarl import URL

from services.demo.servers import free_port
from shared.bus.producer import Record, open_producer, publish
from shared.contract.contacts import AnalysisSource, Change, Contact, LeadStatus, StageRef, StageType
from shared.contract.dead_letters import DeadLetter, dump_dead_letter, encode_payload
from shared.contract.events import Event
from shared.contract.failures import Reason
from shared.contract.ids import ConversationKey, Platform
from shared.domain.contact_edits import ContactEdit
from shared.domain.messages import document, fold_all
from shared.runtime.clock import utc_now
from shared.store.contact_editing import edit_contact
from shared.store.contact_versions import VersionWrite, entry_of
from shared.store.contacts import Contacts
from shared.store.mongo import Database
from tests.conftest import Stack, Start
from tests.support.making import answered, said, unsent
from tests.support.waiting import eventually
from tests.unit.console.rows import NOON, analysis, contact

HOSTILE = "<script>alert('x')</script>\u202egnp.exe"
NO_PLATFORM_URL = "http://127.0.0.1:9"
"""An address of the platform at which nothing listens."""
NO_PLATFORM = {"LEADSTREAM_GRAPH_URL": NO_PLATFORM_URL, "LEADSTREAM_GRAPH_DEADLINE_SECONDS": "0.1"}
PAGES = ("/", "/contacts", "/board", "/integrations", "/pipelines", "/dead-letters")


@dataclass(frozen=True)
class Browser:
    session: ClientSession
    csrf: str = ""

    async def page(self, path: str) -> str:
        async with self.session.get(path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    async def json(self, path: str) -> Any:
        async with self.session.get(path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, *more: tuple[str, str], **fields: str) -> ClientResponse:
        data = [("csrf", self.csrf), *fields.items(), *more]
        async with self.session.post(path, data=data) as answer:
            await answer.read()
            return answer


@asynccontextmanager
async def browsing(start: Start, **settings: str) -> AsyncIterator[Browser]:
    """A browser at a running console that has loaded the contacts of the database."""
    port = free_port()
    settings = {"LEADSTREAM_CONSOLE_PORT": str(port), "LEADSTREAM_GRAPH_URL": NO_PLATFORM_URL, **settings}
    start("console", **settings).wait_for("The console is at")
    async with ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.get("/contacts") as answer:
            token = re.search(r'name="csrf" content="([^"]+)"', await answer.text())
        yield Browser(session, token[1] if token else "")


async def known(database: Database, *contacts: Contact) -> None:
    """Store contacts and their conversations as an analyzer leaves them."""
    writes = [VersionWrite(Change(each, ("analysis",), None), 0, 1) for each in contacts]
    await Contacts(database).write_all(writes)
    for each in contacts:
        conversation = {"platform": each.platform, "account_id": each.account_id, "customer_id": each.customer_id}
        await database.conversations.insert_one({"_id": each.contact_id, "revision": 1, "fence": 1, **conversation})


async def messages(database: Database, *events: Event) -> None:
    await database.messages.insert_many([document(each) for each in fold_all(events).values()])


async def contact_of(database: Database, contact_id: str) -> Contact:
    return Contact.model_validate(await database.contacts.find_one({"_id": contact_id}))


MARIA = contact("1", "Maria Santos", 72, emails=("maria@shop.ph",))
JOSE = contact("2", "José Peñaflor", 20)


async def test_every_page_works_with_an_empty_database(leadstream: Start) -> None:
    async with browsing(leadstream) as browser:
        for path in PAGES:
            assert "<h1" in await browser.page(path)
        assert "No contacts yet" in await browser.page("/contacts")
        assert "No account yet" in await browser.page("/integrations")
        assert "No dead letters" in await browser.page("/dead-letters")


async def test_contacts_are_found_shown_and_exported(leadstream: Start, database: Database) -> None:
    formula = contact("3", "=cmd()", 50)
    await known(database, MARIA, JOSE, formula)
    async with browsing(leadstream) as browser:
        assert "Maria Santos" in await browser.page("/contacts?q=maria+santos")
        assert "No contacts match" in await browser.page("/contacts?q=nobody")
        found = await browser.json("/api/contacts?sort=name")
        assert [each["name"] for each in found["contacts"]] == ["=cmd()", "José Peñaflor", "Maria Santos"]
        exported = list(csv.DictReader(io.StringIO(await browser.page("/contacts.csv?sort=name"))))
        assert [each["name"] for each in exported] == ["'=cmd()", "José Peñaflor", "Maria Santos"]


async def test_a_stage_that_only_a_fallback_set_is_marked_wherever_it_is_shown(
    leadstream: Start, database: Database
) -> None:
    won = [
        contact(str(number), source, 92, source=source, by_machine=LeadStatus.WON).model_copy(
            update={"stage": StageRef(pipeline="Sales", name="Closed Won", type=StageType.WON, set_by=source)}
        )
        for number, source in enumerate((AnalysisSource.AI, AnalysisSource.FALLBACK), 1)
    ]
    sure, provisional = won
    await known(database, *won)
    async with browsing(leadstream) as browser:
        for path in ("/contacts", "/board", f"/contacts/{provisional.contact_id}"):
            assert (await browser.page(path)).count(">provisional</span>") == 1, path
        assert ">provisional</span>" not in await browser.page(f"/contacts/{sure.contact_id}")
        listed = await browser.json("/api/contacts?sort=name")
        columns = (await browser.json("/api/board?pipeline=Sales"))["columns"]
        (cards,) = [each["contacts"] for each in columns if each["contacts"]]
        for rows in (listed["contacts"], cards):
            assert {row["name"]: row["is_provisional"] for row in rows} == {"ai": False, "fallback": True}
        assert (await browser.json(f"/api/contacts/{provisional.contact_id}"))["is_provisional"] is True
        exported = list(csv.DictReader(io.StringIO(await browser.page("/contacts.csv?sort=name"))))
        assert [each["is_provisional"] for each in exported] == ["false", "true"]


async def test_a_contact_shows_its_conversation_and_escapes_hostile_text(leadstream: Start, database: Database) -> None:
    who = ConversationKey(Platform.MESSENGER, "371", "1")
    await known(database, contact("1", HOSTILE, 72, summary=HOSTILE, notes=HOSTILE, tags=(HOSTILE,)))
    await messages(
        database, said(HOSTILE, 1, mid="m_a", who=who), answered("Yes", 2, mid="m_b", who=who),
        said("secret", 3, mid="m_c", who=who), unsent("m_c", 4, who=who),
    )  # fmt: skip
    async with browsing(leadstream) as browser:
        for path in ("/contacts", "/contacts/messenger:371:1", "/contacts/messenger:371:1/forget", "/board"):
            assert "<script>alert" not in await browser.page(path)
        page = await browser.page("/contacts/messenger:371:1")
        assert "&lt;script&gt;" in page
        assert "secret" not in page
        assert "Message was unsent" in page
        body = await browser.json("/api/contacts/messenger:371:1")
        assert [each["role"] for each in body["messages"]] == ["customer", "business", "customer"]


async def test_an_edit_is_marked_as_a_persons_and_shows_at_once(leadstream: Start, database: Database) -> None:
    await known(database, MARIA)
    async with browsing(leadstream) as browser:
        await browser.post(
            f"/contacts/{MARIA.contact_id}/edit",
            name="Maria Cruz", was_name="Maria Santos", status="WON", was_status="", tags="vip", was_tags="",
        )  # fmt: skip
        after = await contact_of(database, MARIA.contact_id)
        assert (after.name.full, after.status, after.tags) == ("Maria Cruz", LeadStatus.WON, ("vip",))
        assert set(after.edited) >= {"name", "lead_status"}
        assert "Maria Cruz" in await browser.page("/contacts?status=WON&tag=vip")


async def test_an_edit_leaves_a_concurrent_edit_alone(leadstream: Start, database: Database) -> None:
    await known(database, MARIA)
    async with browsing(leadstream) as browser:
        await edit_contact(database, MARIA.contact_id, ContactEdit(notes="by another"), utc_now)
        await browser.post(
            f"/contacts/{MARIA.contact_id}/edit", name="Maria Cruz", was_name="Maria Santos", notes="", was_notes=""
        )
        after = await contact_of(database, MARIA.contact_id)
        assert (after.name.full, after.notes) == ("Maria Cruz", "by another")
        refused = await browser.post(
            f"/contacts/{MARIA.contact_id}/edit", name="Maria Sy", was_name="Maria Santos", notes="", was_notes=""
        )
        page = await refused.text()
        assert refused.status == 400
        for shown in ('value="Maria Sy"', "is &#39;Maria Cruz&#39; now", ">by another</textarea>"):
            assert shown in page
        assert (await contact_of(database, MARIA.contact_id)).name.full == "Maria Cruz"


async def test_only_selected_contacts_are_tagged(leadstream: Start, database: Database) -> None:
    await known(database, MARIA, JOSE, contact("3", "Ana", 50))
    async with browsing(leadstream) as browser:
        ids = (("id", MARIA.contact_id), ("id", JOSE.contact_id))
        await browser.post("/contacts/bulk", *ids, action="tag", value="fair", next="/contacts")
        found = await browser.json("/api/contacts?tag=fair")
        assert {each["contact_id"] for each in found["contacts"]} == {MARIA.contact_id, JOSE.contact_id}
        await browser.post("/contacts/bulk", every="yes", query="q=maria", action="untag", value="fair")
        found = await browser.json("/api/contacts?tag=fair")
        assert {each["contact_id"] for each in found["contacts"]} == {JOSE.contact_id}


async def test_erasing_asks_first_and_then_leaves_nothing(leadstream: Start, database: Database) -> None:
    await known(database, MARIA, JOSE)
    await messages(database, said("hello", 1, who=ConversationKey(Platform.MESSENGER, "371", "1")))
    async with browsing(leadstream) as browser:
        answer = await browser.post("/contacts/bulk", ("id", MARIA.contact_id), action="forget")
        assert "cannot be undone" in await browser.page(f"/contacts/{MARIA.contact_id}/forget")
        assert answer.status == 200
        assert (await contact_of(database, MARIA.contact_id)).name.full == "Maria Santos"
        await browser.post(f"/contacts/{MARIA.contact_id}/forget")
        assert await database.messages.count_documents({}) == 0
        found = await browser.json("/api/contacts")
        assert [each["name"] for each in found["contacts"]] == ["José Peñaflor"]
        async with browser.session.get(f"/contacts/{MARIA.contact_id}") as gone:
            assert gone.status == 404


async def test_analyse_now_makes_the_conversation_due(leadstream: Start, database: Database) -> None:
    await known(database, MARIA)
    async with browsing(leadstream) as browser:
        await browser.post(f"/contacts/{MARIA.contact_id}/analyse")
        conversation = await database.conversations.find_one({"_id": MARIA.contact_id})
        assert conversation is not None
        assert {"due_at", "reanalyse_at"} <= conversation.keys()


async def test_scores_over_versions_are_kept_and_plotted(leadstream: Start, database: Database) -> None:
    await known(database, MARIA)
    for version, score in ((2, 30), (3, 90)):
        new = MARIA.model_copy(update={"version": version, "analysis": analysis(score, LeadStatus.NEW, at=NOON)})
        await Contacts(database).write_all([VersionWrite(Change(new, ("analysis",), None), version - 1, version)])
    async with browsing(leadstream) as browser:
        body = await browser.json(f"/api/contacts/{MARIA.contact_id}")
        assert [each["score"] for each in body["scores"]] == [72, 30, 90]
        assert "Score over 3 analyses, from 72 to 90" in await browser.page(f"/contacts/{MARIA.contact_id}")


async def streamed(browser: Browser, last_id: str = "") -> AsyncGenerator[tuple[str, str]]:
    """Yield events of the stream as (id, kind)."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with browser.session.get("/events", headers=headers) as answer:
        event_id = ""
        async for line in answer.content:
            name, _, value = line.decode().strip().partition(": ")
            if name == "id":
                event_id = value
            elif name == "event":
                yield event_id, value


async def updated(stack: Stack, contact: Contact) -> None:
    entry = entry_of(Change(contact, ("analysis",), None))
    async with open_producer(stack.kafka) as producer:
        await publish(producer, [Record(stack.topics.contact_updated, contact.contact_id.encode(), entry.value, [])])


async def test_a_published_version_is_streamed_and_shown(leadstream: Start, stack: Stack) -> None:
    async with browsing(leadstream) as browser:
        stream = streamed(browser)
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)

        async def published_before() -> bool:
            await updated(stack, MARIA.model_copy(update={"version": MARIA.version + first.done()}))
            return first.done()

        await eventually(published_before, bool)
        event_id, kind = await first
        assert kind == "contact"
        assert (await browser.json("/api/contacts"))["found"] == 1
        await updated(stack, JOSE)
        await eventually(lambda: browser.json("/api/contacts"), lambda found: found["found"] == 2)
        resumed = streamed(browser, event_id)
        assert (await anext(resumed))[1] == "contact"
        await stream.aclose()
        await resumed.aclose()


async def test_an_account_is_added_run_and_cancelled_and_its_token_is_never_shown(
    leadstream: Start, database: Database
) -> None:
    fields = {"platform": "messenger", "account_id": "371", "name": "The Page", "token": "EAAB-very-secret"}
    async with browsing(leadstream, **NO_PLATFORM) as browser:
        await browser.post("/integrations", **fields)
        stored = await database.accounts.find_one({"_id": "messenger:371"})
        assert stored is not None
        for text in (str(stored), await browser.page("/integrations"), str(await browser.json("/api/accounts"))):
            assert "EAAB-very-secret" not in text
        assert stored["encrypted_token"] not in await browser.page("/integrations")
        assert "could not be checked" in await browser.page("/integrations")
        again = await browser.post("/integrations", **{**fields, "name": "Another"})
        assert (again.status, 'value="Another"' in await again.text()) == (400, True)
        assert "EAAB-very-secret" not in await again.text()
        assert "Another" not in await browser.page("/integrations")
        await browser.post(
            "/integrations/messenger:371/settings", name="Shop", pipeline="Sales", mode="UPDATE_EXISTING"
        )
        await browser.post("/integrations/messenger:371/run")
        (run,) = (await browser.json("/api/runs"))["runs"]
        assert run["state"] == "QUEUED"
        await browser.post("/integrations/messenger:371/run")
        assert len((await browser.json("/api/runs"))["runs"]) == 1
        await browser.post(f"/runs/{run['run_id']}/cancel")
        assert (await browser.json(f"/api/runs/{run['run_id']}"))["state"] == "CANCELLED"
        assert "Shop" in await browser.page(f"/runs/{run['run_id']}")


async def test_dead_letters_and_lag_are_counted_and_dead_letters_replayed(leadstream: Start, stack: Stack) -> None:
    body = b'{"object":"page","entry":"<script>"}'
    payload, encoding = encode_payload(body)
    letter = DeadLetter(
        reason=next(iter(Reason)), where="receiver", parked_at=NOON, payload=payload, encoding=encoding, detail="odd"
    )
    record = Record(stack.topics.dead_letters, letter.letter_id.encode(), dump_dead_letter(letter), [])
    event = Record(stack.topics.message_events, b"messenger:371:1", b"{}", [])
    async with open_producer(stack.kafka) as producer:
        await publish(producer, [record, event])
    async with browsing(leadstream) as browser:
        status = await eventually(
            lambda: browser.json("/api/overview"), lambda found: found["dead_letters"] is not None
        )
        assert (status["dead_letters"], status["lag"], status["conversations_due"], status["spool"]) == (1, 1, 0, None)
        assert letter.letter_id[:12] in await browser.page("/dead-letters")
        page = await browser.page(f"/dead-letters/{letter.letter_id}")
        assert "&lt;script&gt;" in page
        answer = await browser.post("/dead-letters/replay", id=letter.letter_id)
        assert answer.status == 200


async def test_a_viewer_cannot_change_anything(leadstream: Start, database: Database) -> None:
    await known(database, MARIA)
    port = free_port()
    passwords = {"LEADSTREAM_CONSOLE_PASSWORD": "edit", "LEADSTREAM_CONSOLE_VIEWER_PASSWORD": "look"}
    leadstream("console", LEADSTREAM_CONSOLE_PORT=str(port), **passwords).wait_for("The console is at")
    async with ClientSession(f"http://127.0.0.1:{port}", cookie_jar=CookieJar(unsafe=True)) as session:
        await session.post("/login", data={"password": "look"})
        text = await (await session.get(f"/contacts/{MARIA.contact_id}")).text()
        token = re.search(r'name="csrf" content="([^"]+)"', text)
        assert token is not None
        assert "Analyse now" not in text
        browser = Browser(session, token[1])
        for path in (f"/contacts/{MARIA.contact_id}/edit", f"/contacts/{MARIA.contact_id}/forget", "/integrations"):
            assert (await browser.post(path, name="Other", was_name="Maria Santos")).status == 403
        assert (await contact_of(database, MARIA.contact_id)).name.full == "Maria Santos"


@pytest.mark.parametrize("settings", [{"LEADSTREAM_CONSOLE_HOST": "0.0.0.0"}])
async def test_without_a_password_only_localhost_is_listened_on(leadstream: Start, settings: dict[str, str]) -> None:
    console = leadstream("console", **settings)
    assert console.wait() == 2
    assert "LEADSTREAM_CONSOLE_PASSWORD" in console.output


async def test_the_console_stops_in_time_with_a_page_open(leadstream: Start) -> None:
    port = free_port()
    console = leadstream("console", LEADSTREAM_CONSOLE_PORT=str(port))
    console.wait_for("The console is at")
    async with ClientSession() as session, session.get(URL(f"http://127.0.0.1:{port}/events")) as stream:
        assert await stream.content.readline() == b"retry: 2000\n"
        assert await asyncio.to_thread(console.terminate) == 0
