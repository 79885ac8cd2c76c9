"""Versions of contacts to `contact-updated`, each at least once and in their order.

Only who holds a conversation's lease publishes its contact. A crash before the conversation is done leaves it due and
its lease to run out, so the next holder publishes what may not have been: nothing else has to sweep for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import structlog

from services.analyzer.queue.claim_queue import Claim, is_still_held
from shared.bus.producer import AIOKafkaProducer, KafkaError, Record, Topics, publish
from shared.contract.contacts import contact_updated_headers, load_contact_updated
from shared.contract.events import Header, cloud_event_headers, format_instant
from shared.runtime.clock import utc_now
from shared.runtime.metrics import AnalyzerMetrics
from shared.store.activities import ActivityStore
from shared.store.contact_versions import OutboxEntry
from shared.store.contacts import Contacts

log = structlog.get_logger()


class Due(NamedTuple):
    """What is to be published of one contact: what was `waiting`, oldest first, and then what it has become."""

    claim: Claim
    waiting: Sequence[OutboxEntry]
    new: OutboxEntry | None = None

    @property
    def entries(self) -> Sequence[OutboxEntry]:
        return (*self.waiting, self.new) if self.new else self.waiting


class Outbox:
    def __init__(
        self,
        producer: AIOKafkaProducer,
        topics: Topics,
        contacts: Contacts,
        activities: ActivityStore,
        metrics: AnalyzerMetrics,
    ) -> None:
        self._producer = producer
        self._topic = topics.contact_updated
        self._contacts = contacts
        self._activities = activities
        self._metrics = metrics

    async def drain(self, claim: Claim, entries: Iterable[OutboxEntry]) -> None:
        """As `drain_all`, of one. LeaseLostError before anything is sent that another may have gone beyond."""
        claim.require_held()
        await self._publish([Due(claim, tuple(entries))])
        claim.require_held()

    async def drain_all(self, dues: Sequence[Due]) -> list[Claim]:
        """Those of which all is acknowledged, its activities written, and what waited out of the outbox.

        Nothing is sent of a claim that is not held any more. What the broker can never take holds up only its own.
        """
        held = [due for due in dues if is_still_held(due.claim)]
        depth = sum(len(due.entries) for due in held)
        self._metrics.outbox.inc(depth)
        try:
            return await self._publish_all(held)
        finally:
            self._metrics.outbox.dec(depth)

    async def _publish_all(self, dues: Sequence[Due]) -> list[Claim]:
        try:
            return await self._publish(dues)
        except KafkaError as error:
            if len(dues) == 1:
                log.warning("not_published", contact_id=dues[0].claim.contact_id, error=type(error).__name__)
                return []
        return [claim for due in dues if is_still_held(due.claim) for claim in await self._publish_all([due])]

    async def _publish(self, dues: Sequence[Due]) -> list[Claim]:
        """Those that are still held when the broker has answered, however long that took.

        Of the others, whoever has them now publishes all once more. They may have been forgotten: nothing of theirs is
        written or taken out.
        """
        records = [self._record(due.claim.contact_id, entry) for due in dues for entry in due.entries]
        if records:
            await publish(self._producer, records)
        held = [due for due in dues if is_still_held(due.claim)]
        await self._published(held)
        return [due.claim for due in held]

    async def _published(self, dues: Sequence[Due]) -> None:
        entries = [entry for due in dues for entry in due.entries]
        await self._activities.insert([entry.activity for entry in entries if entry.activity])
        await self._contacts.published_all([(due.claim.contact_id, entry) for due in dues for entry in due.waiting])
        self._metrics.published.inc(len(entries))

    def _record(self, contact_id: str, entry: OutboxEntry) -> Record:
        headers = (
            contact_updated_headers(load_contact_updated(entry.value)) if entry.value else _gone(contact_id, entry)
        )
        return Record(self._topic, contact_id.encode(), entry.value, headers)


def _gone(contact_id: str, entry: OutboxEntry) -> list[Header]:
    """Of a tombstone."""
    return cloud_event_headers(
        f"{contact_id}#{entry.version}", "contact-forgotten", "analyzer", format_instant(utc_now())
    )
