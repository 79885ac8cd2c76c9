"""The commands of `leadstream contacts`, with a real server."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli.contact_filter import ContactFilter
from services.cli.main import app
from shared.bus.reader import read_all
from shared.contract.contacts import AnalysisSource, Contact, LeadStatus, load_contact_updated
from shared.contract.ids import ConversationKey, Platform
from shared.domain.contact_edits import AutomaticField, ContactEdit, InvalidEditError
from shared.domain.pipelines import TEMPLATES
from shared.runtime.clock import utc_now
from shared.store.contact_editing import NoContactError, edit_contact
from shared.store.contacts import Contacts
from shared.store.mongo import Database
from tests.conftest import Stack, Start
from tests.support.contacts import analysis, contact, published_contact, put, put_account
from tests.support.making import EPOCH, MARIA, said
from tests.support.topics import publish_events
from tests.support.waiting import eventually

JUAN = ConversationKey(Platform.MESSENGER, "371", "9")
LIZA = ConversationKey(Platform.INSTAGRAM, "371", "5")
OTHER = ConversationKey(Platform.MESSENGER, "3710", "1")


async def stored(database: Database, who: ConversationKey = MARIA) -> Contact:
    found = await Contacts(database).load(str(who))
    assert found is not None
    assert found.contact is not None
    return found.contact


async def is_due(database: Database, who: ConversationKey = MARIA) -> bool:
    return bool(await database.conversations.find_one({"_id": str(who), "due_at": {"$exists": True}}))


async def test_concurrent_edits_each_make_an_unpublished_version(
    database: Database,
) -> None:
    await put(database, contact())
    await put_account(database)
    tags = [f"tag {number}" for number in range(5)]
    edits = [ContactEdit(tags_added=(tag,)) for tag in tags]
    await asyncio.gather(*(edit_contact(database, str(MARIA), edit, utc_now) for edit in edits))
    found = await Contacts(database).load(str(MARIA))
    assert found is not None
    assert found.contact is not None
    assert set(found.contact.tags) == set(tags)
    assert [entry.version for entry in found.outbox] == [2, 3, 4, 5, 6]
    last = load_contact_updated(found.outbox[-1].value)
    assert (last.contact, set(last.changed)) == (found.contact, {"tags"})
    assert found.fence == 1
    assert await is_due(database)


async def test_an_edit_keeps_a_version_that_may_be_unpublished(database: Database) -> None:
    """While a worker holds the conversation, the replaced version may have been written a moment ago."""
    await put(database, contact())
    await edit_contact(database, str(MARIA), ContactEdit(notes="first"), utc_now)
    await database.contacts.update_one({}, {"$set": {"outbox": []}})
    await edit_contact(database, str(MARIA), ContactEdit(notes="second"), utc_now)
    assert await waiting(database) == [3]
    await database.contacts.update_one({}, {"$set": {"outbox": []}})
    await database.conversations.update_one({}, {"$set": {"lease": {"until": EPOCH}}})
    await edit_contact(database, str(MARIA), ContactEdit(notes="third"), utc_now)
    assert await waiting(database) == [3, 4]
    await edit_contact(database, str(MARIA), ContactEdit(notes="fourth"), utc_now)
    assert await waiting(database) == [3, 4, 5]


async def waiting(database: Database) -> list[int]:
    found = await Contacts(database).load(str(MARIA))
    assert found is not None
    notes = [load_contact_updated(entry.value).contact.notes for entry in found.outbox]
    assert notes == {3: ["second"], 4: ["second", "third"], 5: ["second", "third", "fourth"]}[found.version]
    return [entry.version for entry in found.outbox]


async def test_a_worker_publishes_an_edit_whose_process_died_after_the_write(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(database, contact())
    write = Contacts.write_edit

    async def write_and_die(self: Contacts, *arguments: Any) -> None:
        await write(self, *arguments)
        raise DiedError

    monkeypatch.setattr(Contacts, "write_edit", write_and_die)
    with pytest.raises(DiedError):
        await edit_contact(database, str(MARIA), ContactEdit(notes="x"), utc_now)
    assert (await stored(database)).notes == "x"
    assert await is_due(database)


class DiedError(Exception):
    """The process was killed here."""


async def test_a_stage_must_be_one_of_the_accounts_pipeline(database: Database) -> None:
    await put(database, contact())
    with pytest.raises(InvalidEditError, match="no pipeline"):
        await edit_contact(database, str(MARIA), ContactEdit(stage="Closed Won"), utc_now)
    await put_account(database)
    with pytest.raises(InvalidEditError, match="it has: New Lead"):
        await edit_contact(database, str(MARIA), ContactEdit(stage="Resolved"), utc_now)
    assert not await is_due(database)
    edited = await edit_contact(database, str(MARIA), ContactEdit(stage="Closed Won"), utc_now)
    assert (edited.stage and edited.stage.name, edited) == ("Closed Won", await stored(database))


async def test_an_unknown_or_erased_contact_cannot_be_edited(database: Database) -> None:
    await database.contacts.insert_one(
        {"_id": str(JUAN), "version": 3, "fence": 2, "outbox": [], "forgotten_at": utc_now()}
    )
    for absent in (MARIA, JUAN):
        with pytest.raises(NoContactError):
            await edit_contact(database, str(absent), ContactEdit(notes="x"), utc_now)
    assert await database.contacts.count_documents({}) == 1


async def test_an_edit_without_a_change_writes_nothing(database: Database) -> None:
    await put(database, contact())
    before = await database.contacts.find_one({})
    await edit_contact(database, str(MARIA), ContactEdit(given_back=frozenset(AutomaticField)), utc_now)
    assert await database.contacts.find_one({}) == before
    assert not await is_due(database)


async def test_contacts_are_found_by_account_status_stage_and_source(database: Database) -> None:
    won = analysis(95, LeadStatus.WON, source=AnalysisSource.FALLBACK)
    await put(database, contact(MARIA), contact(JUAN, verdict=won), contact(LIZA), contact(OTHER, staged=False))
    await edit_contact(database, str(LIZA), ContactEdit(status=LeadStatus.WON), utc_now)
    await database.contacts.insert_one({"_id": "messenger:371:0", "version": 2, "forgotten_at": utc_now()})

    async def found(limit: int = 0, **wanted: object) -> set[str]:
        return {each.contact_id async for each in Contacts(database).find(ContactFilter(**wanted).query(), limit)}  # type: ignore[arg-type]

    assert await found() == {str(MARIA), str(JUAN), str(LIZA), str(OTHER)}
    assert await found(account="messenger:371") == {str(MARIA), str(JUAN)}
    assert await found(status=LeadStatus.WON) == {str(JUAN), str(LIZA)}
    assert await found(status=LeadStatus.QUALIFIED) == {str(MARIA), str(OTHER)}
    assert await found(stage="Closed Won") == {str(JUAN)}
    assert await found(source=AnalysisSource.FALLBACK) == {str(JUAN)}
    assert await found(account="instagram:371", status=LeadStatus.QUALIFIED) == set()
    assert len(await found(limit=2)) == 2


async def test_an_operator_edits_and_the_analyzer_publishes_and_keeps_it(
    leadstream: Start, stack: Stack, database: Database, tmp_path: Path
) -> None:
    await put_account(database)
    tail = leadstream("contacts", "tail", "--from-start", "--json")
    analyzer = leadstream("analyzer")
    await publish_events(stack.kafka, stack.topics.message_events, [said("How much?", 1)])
    await eventually(lambda: published_contact(database, version=1), bool)

    what = (
        "--name",
        "Mary Cruz",
        "--status",
        "NEGOTIATING",
        "--tag",
        "vip",
        "--note",
        "=1+1",
        "--stage",
        "Negotiating",
    )
    edit = leadstream("contacts", "edit", str(MARIA), *what)
    assert edit.wait() == 0, edit.output
    await eventually(lambda: published_contact(database, version=2), bool)
    await publish_events(stack.kafka, stack.topics.message_events, [said("Deal, I will take it", 2)])
    await eventually(lambda: published_contact(database, messages_inbound=2), bool)

    kept = await stored(database)
    assert (kept.name.full, kept.status, kept.tags, kept.notes) == (
        "Mary Cruz", LeadStatus.NEGOTIATING, ("vip",), "=1+1"
    )  # fmt: skip
    assert kept.stage is not None
    assert kept.stage.name == "Negotiating"
    activities = [each async for each in database.activities.find({}).sort("version", 1)]
    assert [(each["to_stage"], each["source"]) for each in activities][-1] == ("Negotiating", "person")
    records = await read_all(stack.kafka, stack.topics.contact_updated)
    assert [load_contact_updated(record.value).version for record in records] == list(range(1, kept.version + 1))
    for record in records:
        tail.wait_for(record.value.decode())

    listing = leadstream("contacts", "list", "--status", "NEGOTIATING", "--account", "messenger:371", "--json")
    export = leadstream("contacts", "export", str(tmp_path / "all.csv"))
    again = leadstream("contacts", "reanalyse", str(MARIA), "messenger:371:unknown")
    assert (listing.wait(), export.wait(), again.wait()) == (0, 0, 1)
    assert [json.loads(line)["contact_id"] for line in listing.lines()] == [str(MARIA)]
    with (tmp_path / "all.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["name"], row["status"], row["notes"], row["tags"]) == ("Mary Cruz", "NEGOTIATING", "'=1+1", "vip")
    assert "1 conversations will be analysed again" in again.output
    assert "1 of 2 do not exist" in again.output
    await eventually(lambda: stored(database), lambda found: analysed_at(found) > analysed_at(kept))
    assert analyzer.terminate() == 0


def analysed_at(found: Contact) -> float:
    assert found.analysis is not None
    return found.analysis.analysed_at.timestamp()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("edit", "messenger:1:2", "--note", "x"), 1, "no contact messenger:1:2"),
        (("edit", "messenger:1:2"), 2, "say what to change"),
        (("reanalyse",), 2, "name contacts, or select them"),
        (("list", "--account", "371"), 2, "PLATFORM:ID"),
        (("forget", "messenger:1:2"), 1, "nothing was erased"),
        (("forget", "messenger:1:2", "--yes"), 1, "nothing is known of messenger:1:2"),
        (("forget", "1:2", "--yes"), 2, "expected platform:account:customer"),
    ],
)
def test_an_invalid_command_is_refused_with_a_reason(
    stack: Stack, arguments: tuple[str, ...], status: int, says: str
) -> None:
    done = run(stack, "contacts", *arguments)
    assert (done.exit_code, says in done.output) == (status, True), done.output


def run(stack: Stack, *arguments: str) -> Result:
    """Run `leadstream ARGUMENTS` in this process."""
    return CliRunner().invoke(app, list(arguments), env=stack.env | {"COLUMNS": "300"})


async def test_a_pipeline_is_imported_with_its_ranges_and_assigned_to_an_account(
    stack: Stack, database: Database, tmp_path: Path
) -> None:
    await put_account(database)
    stages: list[dict[str, object]] = [
        {"name": "In", "type": "LEAD"},
        {"name": "Hot", "type": "IN_PROGRESS", "range": {"low": 20, "high": 99}},
    ]
    (tmp_path / "own.json").write_text(json.dumps({"name": "Own", "stages": stages}))
    brought = await bring(stack, str(tmp_path / "own.json"), "--account", "messenger:371")
    assert brought.exit_code == 0, brought.output
    (tmp_path / "again.json").write_text(
        json.dumps({"name": "Own", "stages": [*stages[:1], {**stages[1], "range": None}]})
    )
    wrong = [{"name": "In", "type": "COLD"}, {"name": "", "type": "LEAD", "range": {"low": 9, "high": 3}}]
    (tmp_path / "wrong.json").write_text(json.dumps({"name": "Wrong", "stages": wrong}))
    again = await bring(stack, str(tmp_path / "again.json"))
    refused = await bring(stack, str(tmp_path / "wrong.json"))
    nobody = await bring(stack, "Support", "--account", "messenger:1")
    assert (again.exit_code, refused.exit_code, nobody.exit_code) == (0, 2, 1)
    assert all(told in refused.output for told in ("stages.0.type", "stages.1.name", "stages.1.range"))
    own = await database.pipelines.find_one({"_id": "Own"})
    assert own is not None
    assert [(each["range"], each["range_edited"]) for each in own["stages"]] == [
        ({"low": 1, "high": 30}, False), ({"low": 20, "high": 99}, True)
    ]  # fmt: skip
    assert set(await database.pipelines.distinct("_id")) == {"Own", *(each.name for each in TEMPLATES)}
    account = await database.accounts.find_one({})
    assert account is not None
    assert account["pipeline"] == "Own"


async def bring(stack: Stack, *arguments: str) -> Result:
    return await asyncio.to_thread(run, stack, "pipelines", "import", *arguments)
