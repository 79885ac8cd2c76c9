"""`leadstream evaluate`, with a real server."""

from __future__ import annotations

import asyncio
import json

from typer.testing import CliRunner

from services.cli.main import app
from shared.contract.contacts import LeadStatus
from shared.contract.ids import ConversationKey, Platform
from shared.domain.contact_edits import ContactEdit
from shared.runtime.clock import utc_now
from shared.store.contact_editing import edit_contact
from shared.store.mongo import Database
from tests.conftest import Stack
from tests.support.contacts import contact, put, put_account
from tests.support.making import MARIA

OTHER = ConversationKey(Platform.MESSENGER, "3710", "1")


async def test_what_people_corrected_is_compared_with_the_analysis(stack: Stack, database: Database) -> None:
    await put(database, contact(), contact(OTHER))
    await put_account(database)
    for who in (MARIA, OTHER):
        await edit_contact(database, str(who), ContactEdit(status=LeadStatus.LOST), utc_now)

    async def run(*arguments: str) -> str:
        environment = stack.env | {"COLUMNS": "200"}
        ended = await asyncio.to_thread(CliRunner().invoke, app, ["evaluate", *arguments], env=environment)
        assert ended.exit_code == 0
        return ended.stdout

    rows = [json.loads(line) for line in (await run("--account", "messenger:371", "--json")).splitlines()]
    by_source = [(row["group"], row["cases"], row["share"]) for row in rows if row.get("by") == "source"]
    assert by_source == [("ai", 1, 0)]
    assert [(row["worst"]["contact_id"], row["worst"]["by_person"]) for row in rows if "worst" in row] == [
        (str(MARIA), "LOST")
    ]
    shown = await run()
    assert str(MARIA) in shown
    assert str(OTHER) in shown
