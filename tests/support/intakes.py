"""The intake as a process under test, and what must have become of what was on the topic."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.bus.producer import Record, open_producer, publish
from shared.bus.reader import read_all
from shared.contract.dead_letters import load_dead_letter
from shared.contract.events import Event
from shared.domain.messages import fold_all
from shared.store.mongo import Database
from tests.conftest import Stack
from tests.support.models import dump_event, event_headers
from tests.support.offsets import all_is_committed, committed, ends, members
from tests.support.outcome import messages
from tests.support.programs import Program, ended
from tests.support.waiting import eventually

JUNK = (b"{", b'{"kind":"poke"}', b"\xff\xfe")


class Intakes:
    """Starts intakes that die at the `passing`-th passing of `step`, or live."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.started: list[Program] = []

    def start(self, step: str = "polled", passing: int = 0, **settings: str) -> Program:
        log = self.folder / f"{len(self.started)}-intake.log"
        module = ("tests.support.dying_intake", step, str(passing))
        self.started.append(Program(module, {**self.stack.env, **settings}, log))
        return self.started[-1]

    async def publish(self, events: Iterable[Event], junk: Sequence[bytes] = ()) -> None:
        """Publishes `events` in their order with `junk` spread among them."""
        topic = self.stack.topics.message_events
        records = [Record(topic, str(e.conversation).encode(), dump_event(e), event_headers(e)) for e in events]
        step = len(records) // (len(junk) + 1)
        for number, value in enumerate(junk):
            records.insert((number + 1) * step, Record(topic, os.urandom(4), value, []))
        async with open_producer(self.stack.kafka) as producer:
            await publish(producer, records)

    @property
    def name(self) -> str:
        return f"{self.stack.topic_prefix}analyzer"

    async def all_is_committed(self) -> None:
        await all_is_committed(self.stack.kafka, self.stack.topics.message_events, self.name)

    async def some_is_committed(self) -> None:
        await eventually(lambda: committed(self.stack.kafka, self.stack.topics.message_events, self.name), len)

    async def is_behind(self) -> bool:
        expected = await ends(self.stack.kafka, self.stack.topics.message_events)
        return await committed(self.stack.kafka, self.stack.topics.message_events, self.name) != expected

    async def members(self) -> set[str]:
        """Return the ids of the group's members, as the broker knows them."""
        return await members(self.stack.kafka, self.name)

    async def assert_all_is_stored(
        self, database: Database, events: Sequence[Event], junk: Sequence[bytes] = ()
    ) -> None:
        """Messages as the fold of the events has them, every conversation due, and what is no event on the DLQ."""
        assert await messages(database) == fold_all(events)
        due = {each["_id"] async for each in database.conversations.find({"due_at": {"$exists": True}})}
        assert due == {str(event.conversation) for event in events}
        letters = await read_all(self.stack.kafka, self.stack.topics.dead_letters)
        assert {load_dead_letter(each.value).raw for each in letters} == set(junk)


@contextmanager
def intakes(stack: Stack, folder: Path) -> Iterator[Intakes]:
    """Whatever still runs at the end is killed."""
    found = Intakes(stack, folder)
    with ended(found.started):
        yield found
