"""The dead letters that are parked and were not replayed since.

The last record of a dead letter's id counts. A replay writes a tombstone, and the dead letter is listed again only if
it is parked again. It can be parked again before the tombstone is written, so the tombstone names the offset of the
record that was replayed. All records of an id are on one partition, where offsets rise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from shared.bus.connection import KafkaConnection
from shared.bus.producer import Record, Topics
from shared.bus.reader import stream_all, stream_placed
from shared.contract.dead_letters import DeadLetter, load_dead_letter
from shared.contract.failures import Reason

REPLAYED_OFFSET_HEADER = "replayed-offset"
"""Header of a tombstone: it says nothing about records behind this offset."""


@dataclass(frozen=True, slots=True)
class DeadLetterSummary:
    """A dead letter without its payload. `size` is the payload's in bytes, `offset` where it was last parked."""

    letter_id: str
    reason: Reason
    detail: str
    where: str
    parked_at: datetime
    size: int
    key: str | None
    offset: int


class DeadLetterQueue:
    """Reads the topic from its start on every call. Memory does not grow with the payloads."""

    def __init__(self, kafka: KafkaConnection, topics: Topics) -> None:
        self._kafka = kafka
        self.topic = topics.dead_letters

    async def parked(self, reason: Reason | None = None) -> dict[str, DeadLetterSummary]:
        """Return the parked dead letters by id, oldest first, optionally only those of one reason."""
        found: dict[str, DeadLetterSummary] = {}
        async for placed in stream_placed(self._kafka, self.topic):
            if not placed.record.value:
                drop_replayed(found, placed.record)
            elif letter := read_dead_letter(placed.record):
                found[letter.letter_id] = summarise(letter, placed.offset)
        oldest_first = sorted(found.values(), key=lambda each: each.parked_at)
        return {each.letter_id: each for each in oldest_first if reason in {None, each.reason}}

    async def find(self, letter_id: str) -> DeadLetter | None:
        """Return one parked dead letter with its payload."""
        wanted = {letter_id} & (await self.parked()).keys()
        found = [letter async for letter in self.read(wanted)]
        return found[0] if found else None

    async def read(self, letter_ids: set[str]) -> AsyncIterator[DeadLetter]:
        """Yield the dead letters with these ids, each once."""
        remaining = set(letter_ids)
        async for record in stream_all(self._kafka, self.topic):
            if (letter := read_dead_letter(record)) and letter.letter_id in remaining:
                remaining.remove(letter.letter_id)
                yield letter


def read_dead_letter(record: Record) -> DeadLetter | None:
    """Return the dead letter; None for a tombstone and for a record that another program has written."""
    try:
        letter = load_dead_letter(record.value)
        _ = letter.raw  # raises if the payload is not in the encoding it names
    except ValueError:
        return None
    return letter


def summarise(letter: DeadLetter, offset: int) -> DeadLetterSummary:
    return DeadLetterSummary(
        letter.letter_id, letter.reason, letter.detail, letter.where, letter.parked_at, len(letter.raw), letter.key,
        offset,
    )  # fmt: skip


def tombstone(topic: str, parked: DeadLetterSummary) -> Record:
    return Record(topic, parked.letter_id.encode(), b"", [(REPLAYED_OFFSET_HEADER, str(parked.offset).encode())])


def drop_replayed(found: dict[str, DeadLetterSummary], tombstone: Record) -> None:
    """Remove the dead letter that `tombstone` is for. Without an offset it is for everything parked before it."""
    letter_id = (tombstone.key or b"").decode(errors="replace")
    offset = dict(tombstone.headers).get(REPLAYED_OFFSET_HEADER) or b""
    parked = found.get(letter_id)
    if parked and (not offset.isdigit() or parked.offset <= int(offset)):
        del found[letter_id]
