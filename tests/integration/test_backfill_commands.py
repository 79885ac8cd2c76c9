"""What `accounts` and `backfill` answer to wrong usage, wrong keys and absent servers."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from shared.mongo import Database
from tests.conftest import Start


async def test_a_token_is_encrypted_and_without_its_key_no_run_begins(leadstream: Start, database: Database) -> None:
    assert leadstream("accounts", "add", "messenger", "371", "--name", "x", stdin="EAAsecret\n").wait() == 0
    (stored,) = [each async for each in database.accounts.find({})]
    assert (stored["_id"], stored["page_id"], stored["mode"]) == ("messenger:371", "371", "SKIP_EXISTING")
    assert "EAAsecret" not in str(stored)
    process = leadstream("backfill", "run", env={"LEADSTREAM_ENCRYPTION_KEYS": Fernet.generate_key().decode()})
    assert process.wait() == 1
    assert "a token was encrypted with a key" in process.output
    assert "Traceback" not in process.output
    assert await database.sync_runs.count_documents({}) == 0


@pytest.mark.parametrize(
    ("arguments", "token"),
    [
        (("instagram", "1784", "--name", "x"), "t"),
        (("messenger", "1", "--name", "x"), ""),
        (("messenger", "1", "--name", "x"), "two words"),
        (("messenger", "1", "--name", "x"), "header\r\ninjected"),
        (("messenger", "1:2", "--name", "x"), "t"),
        (("messenger", "1", "--name", "x", "--page", "a:b"), "t"),
        (("messenger", "1", "--name", "x", "--pipeline", "None such"), "t"),
    ],
)
def test_wrong_usage_adds_nothing(leadstream: Start, arguments: tuple[str, ...], token: str) -> None:
    assert leadstream("accounts", "add", *arguments, stdin=token).wait() == 2
    assert leadstream("backfill", "run", "messenger", "1").wait() == 1


def test_a_server_that_does_not_answer_is_told_by_its_own_status(leadstream: Start) -> None:
    nobody = {"LEADSTREAM_MONGO_URL": "mongodb://127.0.0.1:1/x?directConnection=true"}
    assert leadstream("accounts", "list", env=nobody).wait() == 3
    assert leadstream("backfill", "run", env={"LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}).wait() == 3
