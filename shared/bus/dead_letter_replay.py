"""Replaying dead letters: publishing again what can be understood by now, as after an upgrade."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from shared.bus.dead_letter_queue import DeadLetterQueue, DeadLetterSummary, tombstone
from shared.bus.decode import decode
from shared.bus.producer import AIOKafkaProducer, MessageSizeTooLargeError, Record, Topics, publish
from shared.contract.dead_letters import DeadLetter
from shared.contract.events import cloud_event_headers, format_instant
from shared.contract.failures import Reason, UnreachableError

REPLAY_BATCH_SIZE = 100
"""Dead letters whose events are published together."""
BASE_TIMEOUT_SECONDS, TIMEOUT_SECONDS_PER_LETTER = 60.0, 0.01
"""How long replaying may wait for the broker."""

ReadWebhook = Callable[[bytes, datetime, Topics], list[Record]]
"""The receiver's reading of a body that was received at this time: events, and dead letters of unreadable parts."""
OnReplay = Callable[[DeadLetter, bool], None]
"""Called for each dead letter with whether it was replayed."""


class Replay:
    """Publishes the events in dead letters, at least once: readers know a repeated event by its id.

    `is_storable` is the store's check of an event's document: what cannot be stored would be parked again at once.
    """

    def __init__(
        self, queue: DeadLetterQueue, producer: AIOKafkaProducer, topics: Topics, read_webhook: ReadWebhook,
        is_storable: Callable[[Mapping[str, Any]], bool],
    ) -> None:  # fmt: skip
        self._queue = queue
        self._producer = producer
        self._topics = topics
        self._read_webhook = read_webhook
        self._is_storable = is_storable

    async def run(self, letter_ids: Collection[str] | None, reason: Reason | None, on_replay: OnReplay) -> set[str]:
        """Replay the dead letters with these ids and this reason, and return the ids that were not found.

        None means no filter. What is still not understood stays parked. UnreachableError when the broker does not
        acknowledge in time; what `on_replay` was called for is done by then.
        """
        parked = await self._queue.parked(reason)
        selected = set(parked) if letter_ids is None else parked.keys() & set(letter_ids)
        try:
            async with asyncio.timeout(BASE_TIMEOUT_SECONDS + TIMEOUT_SECONDS_PER_LETTER * len(selected)):
                await self._replay(parked, self._queue.read(selected), on_replay)
        except TimeoutError:
            raise UnreachableError("the broker does not acknowledge replayed events; try again for the rest") from None
        return set(letter_ids or ()) - parked.keys()

    async def _replay(
        self, parked: Mapping[str, DeadLetterSummary], letters: AsyncIterator[DeadLetter], on_replay: OnReplay
    ) -> None:
        batch: list[tuple[DeadLetter, list[Record]]] = []
        async for letter in letters:
            records = self._records(letter)
            if records is None:
                on_replay(letter, False)
                continue
            batch.append((letter, records))
            if len(batch) == REPLAY_BATCH_SIZE:
                await self._publish(batch, parked, on_replay)
                batch = []
        await self._publish(batch, parked, on_replay)

    async def _publish(
        self, batch: list[tuple[DeadLetter, list[Record]]], parked: Mapping[str, DeadLetterSummary], on_replay: OnReplay
    ) -> None:
        """Publish the events and, once they are acknowledged, the tombstones. What is still too large stays parked."""
        try:
            await publish(self._producer, [record for _, records in batch for record in records])
        except MessageSizeTooLargeError:
            if len(batch) == 1:
                on_replay(batch[0][0], False)
            else:
                for each in batch:
                    await self._publish([each], parked, on_replay)
            return
        tombstones = [tombstone(self._queue.topic, parked[letter.letter_id]) for letter, _ in batch]
        await publish(self._producer, tombstones)
        for letter, _ in batch:
            on_replay(letter, True)

    def _records(self, letter: DeadLetter) -> list[Record] | None:
        """Return what the dead letter is published as; None when it is still not understood."""
        if letter.where == "receiver":
            records = self._read_webhook(letter.raw, letter.parked_at, self._topics)
            is_parked_again = any(record.key == letter.letter_id.encode() for record in records)
            return None if is_parked_again else records
        event = decode(Record(self._queue.topic, None, letter.raw, []), letter.parked_at)
        if isinstance(event, DeadLetter) or not self._is_storable(event.model_dump()):
            return None
        headers = cloud_event_headers(event.event_id, event.kind, event.source, format_instant(event.occurred_at))
        return [Record(self._topics.message_events, str(event.conversation).encode(), letter.raw, headers)]
