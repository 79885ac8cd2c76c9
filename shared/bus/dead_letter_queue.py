"""The DLQ as a person sees it: what is parked there and was not replayed since.

The last record of a letter's id counts. A letter that is replayed gets a tombstone behind it, and shows again only if
it is parked again. As that may be before its tombstone is written, the tombstone says which record it is for: all of an
id lie on one partition, where offsets rise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.bus.decode import decode
from shared.bus.producer import AIOKafkaProducer, Record, Topics, publish
from shared.bus.reader import stream_all, stream_placed
from shared.contract.dead_letters import DeadLetter, load_dead_letter
from shared.contract.events import Event, cloud_event_headers, format_instant
from shared.contract.failures import Reason
from shared.store.mongo import is_storable

REPLAY_BATCH_SIZE = 100
"""Letters whose events are published at once."""

ReadWebhook = Callable[[bytes, datetime, Topics], list[Record]]
"""What the receiver makes of a body that came then: events, and dead letters of what it does not understand."""

REPLAYED_OFFSET_HEADER = "replayed-offset"
"""A tombstone's header: it says nothing of what was parked behind that."""

OnReplay = Callable[[DeadLetter, bool], None]


@dataclass(frozen=True, slots=True)
class DeadLetterSummary:
    """A letter without its payload, of which it only has the size in bytes. `offset` is where it was last parked."""

    letter_id: str
    reason: Reason
    detail: str
    where: str
    parked_at: datetime
    size: int
    key: str | None
    offset: int


class DeadLetterQueue:
    """What is parked, asked of the broker anew each time. Memory does not grow with what the letters hold."""

    def __init__(self, bootstrap_servers: str, topics: Topics) -> None:
        self._bootstrap_servers = bootstrap_servers
        self.topic = topics.dead_letters

    async def parked(self, reason: Reason | None = None) -> dict[str, DeadLetterSummary]:
        """By id, the oldest first."""
        found: dict[str, DeadLetterSummary] = {}
        async for placed in stream_placed(self._bootstrap_servers, self.topic):
            if not placed.record.value:
                drop_replayed(found, placed.record)
            elif letter := read_dead_letter(placed.record):
                found[letter.letter_id] = summarise(letter, placed.offset)
        oldest_first = sorted(found.values(), key=lambda each: each.parked_at)
        return {each.letter_id: each for each in oldest_first if reason in {None, each.reason}}

    async def read(self, letter_ids: set[str]) -> AsyncIterator[DeadLetter]:
        """Those letters, each once."""
        remaining = set(letter_ids)
        async for record in stream_all(self._bootstrap_servers, self.topic):
            if (letter := read_dead_letter(record)) and letter.letter_id in remaining:
                remaining.remove(letter.letter_id)
                yield letter


class Replay:
    """Puts what letters hold on the way that it came by. At least once: events have their ids, whoever repeats them."""

    def __init__(self, producer: AIOKafkaProducer, topics: Topics, read_webhook: ReadWebhook) -> None:
        self._producer = producer
        self._topics = topics
        self._read_webhook = read_webhook

    async def run(
        self, parked: Mapping[str, DeadLetterSummary], letters: AsyncIterator[DeadLetter], tell: OnReplay
    ) -> None:
        """Of `letters`, which are some of `parked`. `tell` hears of each whether it was replayed: what is still not
        understood stays where it is."""
        group: list[tuple[DeadLetter, list[Record]]] = []
        async for letter in letters:
            records = self._records(letter)
            if records is None:
                tell(letter, False)
                continue
            group.append((letter, records))
            if len(group) == REPLAY_BATCH_SIZE:
                await self._publish(group, parked, tell)
                group = []
        await self._publish(group, parked, tell)

    async def _publish(
        self, group: list[tuple[DeadLetter, list[Record]]], parked: Mapping[str, DeadLetterSummary], tell: OnReplay
    ) -> None:
        """The tombstones only after the events are safe."""
        await publish(self._producer, [record for _, records in group for record in records])
        await publish(
            self._producer, [tombstone(self._topics.dead_letters, parked[letter.letter_id]) for letter, _ in group]
        )
        for letter, _ in group:
            tell(letter, True)

    def _records(self, letter: DeadLetter) -> list[Record] | None:
        if letter.where == "receiver":
            records = self._read_webhook(letter.raw, letter.parked_at, self._topics)
            is_parked_again = any(record.key == letter.letter_id.encode() for record in records)
            return None if is_parked_again else records
        event = _event(letter)
        return [_event_record(event, letter, self._topics)] if event else None


@dataclass(frozen=True, slots=True)
class Payload:
    """A letter's payload as the record that it was."""

    value: bytes
    key: bytes | None = None


def _event(letter: DeadLetter) -> Event | None:
    event = decode(Payload(letter.raw), letter.parked_at)
    return None if isinstance(event, DeadLetter) or not is_storable(event.model_dump()) else event


def _event_record(event: Event, letter: DeadLetter, topics: Topics) -> Record:
    headers = cloud_event_headers(event.event_id, event.kind, event.source, format_instant(event.occurred_at))
    return Record(topics.message_events, str(event.conversation).encode(), letter.raw, headers)


def read_dead_letter(record: Record) -> DeadLetter | None:
    """None for a tombstone, and for what somebody else has put there."""
    try:
        letter = load_dead_letter(record.value)
        _ = letter.raw  # which may not be in the encoding that it names
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
    """One that does not say a place is for all that was parked before it."""
    letter_id, until = (
        (tombstone.key or b"").decode(errors="replace"),
        dict(tombstone.headers).get(REPLAYED_OFFSET_HEADER) or b"",
    )
    parked = found.get(letter_id)
    if parked and (not until.isdigit() or parked.offset <= int(until)):
        del found[letter_id]
