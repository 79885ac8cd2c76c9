"""Crawls of an account on which people go on writing, over a real broker and database.

The oracle is the simulator's set of message ids.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest

from services.backfill.crawl.checkpoints import Checkpoint, CheckpointStore, History, ReadPosition, StoredReading
from services.backfill.crawl.newest_second import NewestSecond
from shared.contract.encoded_events import EncodedEvent
from shared.contract.ids import ConversationKey, Platform
from shared.domain.accounts import Account
from shared.store.mongo import Database
from shared.store.runs import ActiveRunError
from tests.conftest import Stack
from tests.support.crawling import Crawling, crawling

KEY = ConversationKey(Platform.MESSENGER, "371", "9")
PAGE = Account(platform=Platform.MESSENGER, account_id="371", page_id="371", name="The Page", encrypted_token="x")


@pytest.fixture
async def facebook(stack: Stack, database: Database) -> AsyncIterator[Crawling]:
    async with crawling(stack, database, 12, 15) as facebook:
        yield facebook


async def everything(facebook: Crawling) -> set[str]:
    return set().union(*(await facebook.oracle()).values())


@pytest.mark.parametrize("seed", range(3))
async def test_messages_sent_and_deleted_during_a_run_are_read(facebook: Crawling, seed: int) -> None:
    """By known customers and new ones. What is unsent may be what a cursor stands at."""
    rng, account, ever = random.Random(seed), facebook.page(), await everything(facebook)
    names = [each.customer.name for each in facebook.corpus.conversations[account.page_id]]
    acts = 40

    async def happen(events: Sequence[EncodedEvent]) -> None:
        nonlocal acts
        mids = [event.value["mid"] for event in events if event.kind == "message"]
        for _ in range(rng.randint(0, 2)):
            if acts == 0:
                return
            acts -= 1
            if mids and rng.random() < 0.4:
                await facebook.call("act", {"act": "unsend", "message_id": mids.pop(rng.randrange(len(mids)))})
            else:
                who = rng.choice(names) if rng.random() < 0.8 else f"New {acts}"
                said = await facebook.call(
                    "act", {"act": "say", "who": who, "text": "hello", "echo": rng.random() < 0.5}
                )
                ever.add(said["message_id"])

    progress = await facebook.read(account, before=happen)
    assert acts == 0, "so that what happened last happened before the crawl had ended"
    counters = progress.counters
    assert progress.failures == []
    read = set(facebook.acknowledged[account.account_id])
    assert await everything(facebook) <= read <= ever
    assert counters.conversations_listed == counters.conversations_read == len(await facebook.oracle())


async def test_a_second_run_with_nothing_changed_makes_one_call(facebook: Crawling) -> None:
    account = facebook.page()
    await facebook.read(account)
    before, acknowledged = await facebook.call("stats"), list(facebook.acknowledged[account.account_id])
    progress = await facebook.read(account, "next")
    after = await facebook.call("stats")
    assert after["conversations"] - before["conversations"] == progress.counters.calls == 1
    assert after["messages"] == before["messages"]
    assert facebook.acknowledged[account.account_id] == acknowledged


async def test_only_what_is_new_of_what_has_moved_is_read(facebook: Crawling) -> None:
    account = facebook.page()
    await facebook.read(account)
    facebook.acknowledged.clear()
    names = [each.customer.name for each in facebook.corpus.conversations[account.page_id]]
    said = [
        (await facebook.call("act", {"act": "say", "who": who, "text": "x"}))["message_id"] for who in names[3:9] * 2
    ]
    progress = await facebook.read(account, "next")
    assert sorted(facebook.acknowledged[account.account_id]) == sorted(said)
    assert progress.counters.conversations_read == 6


@pytest.mark.parametrize("is_unsent", [False, True])
async def test_a_killed_run_continues_after_what_was_acknowledged(facebook: Crawling, is_unsent: bool) -> None:
    """With the cursor of its checkpoint, or from the newest message if the cursor's message was deleted."""
    account, at_once = facebook.page(), 3

    async def die(events: Sequence[EncodedEvent]) -> None:
        if len(facebook.acknowledged[account.account_id]) > 60 and events[0].kind == "message":
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await facebook.read(account, before=die, parallelism=at_once)
    acknowledged = list(facebook.acknowledged[account.account_id])
    if is_unsent:
        for mid in acknowledged[-4 * at_once :]:
            await facebook.call("act", {"act": "unsend", "message_id": mid})
    progress = await facebook.read(account)
    read = facebook.acknowledged[account.account_id]
    assert await everything(facebook) <= set(read)
    assert progress.counters.conversations_read == progress.counters.conversations_listed == 12
    if not is_unsent:
        assert len(read) - len(set(read)) <= 4 * at_once, "a page of each conversation in flight at most"


async def test_a_history_is_stored_and_loaded_unchanged(database: Database) -> None:
    store = CheckpointStore(database)
    newest = NewestSecond(datetime(2026, 11, 24, 9, tzinfo=UTC), frozenset({"m_1", "m_2"}))
    checkpoint = Checkpoint(
        "run",
        "t_1",
        newest.at,
        ReadPosition({"after": "x", "__paging.token": "$y"}, 4, 1, newest, True),
    )
    other = KEY._replace(customer_id="10")
    await store.checkpoint(KEY, checkpoint)
    assert await store.known([KEY, other]) == {KEY: StoredReading(None, checkpoint)}
    history = History("run", "t_1", None, 7, 1, newest, True)
    await store.remember(KEY, history)
    await store.remember(other, History("run", "t_2", newest.at))
    assert await store.known([KEY, other]) == {
        KEY: StoredReading(history),
        other: StoredReading(History("run", "t_2", newest.at)),
    }
    stored = await database.conversations.find_one({"_id": str(KEY)})
    assert stored is not None
    assert isinstance(stored["history"]["completed_at"], datetime)


@pytest.mark.parametrize("has_skipped", [False, True])
async def test_a_checkpoint_of_the_layout_with_spans_is_continued_or_read_again(
    database: Database, has_skipped: bool
) -> None:
    """One that skips what it had published before its cursor expired is read again: now nothing is skipped."""
    at = datetime(2026, 11, 24, 9, tzinfo=UTC)
    second = {"at": at, "ids": ["m_1"]}
    reading = {
        "run_id": "run", "thread_id": "t_1", "updated_time": at, "following": [["after", "x"]], "messages": 4,
        "unavailable": 1, "newest": second, "is_settled": True, "oldest": second,
        "ahead": [[second, second]] if has_skipped else [],
    }  # fmt: skip
    await database.conversations.insert_one({"_id": str(KEY), "reading": reading})
    position = ReadPosition({"after": "x"}, 4, 1, NewestSecond(at, frozenset({"m_1"})), True)
    continued = None if has_skipped else Checkpoint("run", "t_1", at, position)
    assert await CheckpointStore(database).known([KEY]) == {KEY: StoredReading(None, continued)}


async def test_a_process_that_has_lost_its_run_writes_no_history(database: Database) -> None:
    def lost() -> None:
        raise ActiveRunError("another has it")

    store, at = CheckpointStore(database, lost), datetime(2026, 11, 24, 9, tzinfo=UTC)
    for write in (
        store.checkpoint(KEY, Checkpoint("run", "t_1", at, ReadPosition())),
        store.remember(KEY, History("run", "t_1", at)),
        store.complete(PAGE, "run", at),
    ):
        with pytest.raises(ActiveRunError):
            await write
    assert await store.known([KEY]) == {}
    assert await store.complete_until(PAGE) is None


async def test_a_history_leaves_the_analyzers_fields_alone_even_when_written_at_once(database: Database) -> None:
    store = CheckpointStore(database)

    async def analyse(number: int) -> None:
        key = str(KEY._replace(customer_id=str(number)))
        await database.conversations.update_one({"_id": key}, {"$set": {"revision": 5}}, upsert=True)

    keys = [KEY._replace(customer_id=str(number)) for number in range(20)]
    said = [store.remember(key, History("run", "t", None)) for key in keys]
    await asyncio.gather(*said, *(analyse(number) for number in range(20)), return_exceptions=False)
    assert set(await store.known(keys)) == set(keys)
    assert await database.conversations.count_documents({"revision": 5, "history.run_id": "run"}) == 20


async def test_the_time_an_account_is_complete_until_is_stored_per_account(
    facebook: Crawling, database: Database
) -> None:
    store, until = CheckpointStore(database), datetime(2026, 11, 24, 9, tzinfo=UTC)
    await store.complete(facebook.page("1"), "run", until)
    assert await store.complete_until(facebook.page("1")) == until
    assert await store.complete_until(facebook.page("2")) is None
