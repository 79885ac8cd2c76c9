"""`leadstream setup` moves a database of an earlier release to the layout of this one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from shared.contract.ids import ConversationKey
from shared.store import migrations
from shared.store.ai_retry_queue import AIRetryQueue
from shared.store.erasures import Erasures
from shared.store.migrations import migrate
from shared.store.mongo import Collection, Database, insert_all
from tests.conftest import Start
from tests.support.making import EPOCH, MARIA

JUAN = ConversationKey(MARIA.platform, MARIA.account_id, "9")


class DiedError(Exception):
    """The process was killed here."""


@pytest.fixture
async def earlier(database: Database) -> Database:
    """The earlier layout: `again` and `forgotten`."""
    await database.again.insert_one({"_id": str(MARIA), "tries": 3, "at": EPOCH})
    await database.forgotten.insert_many([{"_id": str(who), "at": EPOCH} for who in (MARIA, JUAN)])
    return database


async def assert_moved(database: Database) -> None:
    names = await database.list_collection_names()
    assert {"again", "forgotten"} & set(names) == set()
    assert await database.ai_retries.find({}).to_list(None) == [{"_id": str(MARIA), "tries": 3, "at": EPOCH}]
    assert await Erasures(database).of([str(MARIA), str(JUAN)]) == {str(MARIA): EPOCH, str(JUAN): EPOCH}
    assert await AIRetryQueue(database, 1).due(5) == [str(MARIA)]


async def test_setup_renames_the_collections_of_an_earlier_release(leadstream: Start, earlier: Database) -> None:
    for _ in range(2):
        setup = leadstream("setup")
        assert setup.wait() == 0, setup.output
        await assert_moved(earlier)


async def test_a_migration_of_the_new_layout_changes_nothing(database: Database) -> None:
    await database.erasures.insert_one({"_id": str(MARIA), "at": EPOCH})
    assert await migrate(database) == []
    assert await Erasures(database).of([str(MARIA)]) == {str(MARIA): EPOCH}


@pytest.mark.parametrize("copied", [1, 2, 3])
async def test_a_killed_migration_loses_nothing(
    earlier: Database, monkeypatch: pytest.MonkeyPatch, copied: int
) -> None:
    number = 0

    async def insert_then_die(collection: Collection, documents: list[dict[str, Any]]) -> set[str]:
        nonlocal number
        existing = await insert_all(collection, documents)
        number += len(documents)
        if number >= copied:
            raise DiedError
        return existing

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "COPY_BATCH_SIZE", 1)
        patch.setattr(migrations, "insert_all", insert_then_die)
        with pytest.raises(DiedError):
            await migrate(earlier)
    assert await migrate(earlier) != []
    await assert_moved(earlier)


@pytest.mark.parametrize(("years", "expected"), [(1, EPOCH.replace(year=EPOCH.year + 1)), (-1, EPOCH)])
async def test_of_two_erasures_the_later_one_is_kept(earlier: Database, years: int, expected: datetime) -> None:
    await earlier.erasures.insert_one({"_id": str(MARIA), "at": EPOCH.replace(year=EPOCH.year + years)})
    await migrate(earlier)
    assert await Erasures(earlier).of([str(MARIA)]) == {str(MARIA): expected}


@pytest.mark.parametrize("service", [["analyzer"], ["backfill", "worker"], ["console"]])
async def test_a_service_does_not_start_before_the_migration(
    leadstream: Start, earlier: Database, service: list[str]
) -> None:
    started = leadstream(*service)
    assert started.wait() == 3
    assert "run `leadstream setup`" in started.output
