"""Publishes versions of contacts to `contact-updated`, each at least once and in order.

Only the holder of a conversation's lease publishes its contact. A crash before the conversation is finished leaves it
due and its lease to expire, so the next holder publishes what may be unpublished (`contact_versions`).
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


class Publication(NamedTuple):
    """What to publish of one contact: its `unpublished` entries, oldest first, then the `new` version."""

    claim: Claim
    unpublished: Sequence[OutboxEntry]
    new: OutboxEntry | None = None

    @property
    def entries(self) -> Sequence[OutboxEntry]:
        return (*self.unpublished, self.new) if self.new else self.unpublished


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

    async def publish_one(self, claim: Claim, entries: Iterable[OutboxEntry]) -> None:
        """Publish entries of one contact. LeaseLostError when the claim is not held, before anything is sent.

        LeaseLostError as well when the claim is lost while it sends: another worker may publish the same entries.
        """
        claim.require_held()
        await self._publish([Publication(claim, tuple(entries))])
        claim.require_held()

    async def publish_all(self, publications: Sequence[Publication]) -> list[Claim]:
        """Publish, and return the claims whose versions are acknowledged, whose activities are stored and whose outbox
        entries are removed.

        Nothing is sent for a claim that is not held. What the broker can never accept holds up only its own contact.
        """
        held = [each for each in publications if is_still_held(each.claim)]
        depth = sum(len(each.entries) for each in held)
        self._metrics.outbox.inc(depth)
        try:
            return await self._publish_separately_on_error(held)
        finally:
            self._metrics.outbox.dec(depth)

    async def _publish_separately_on_error(self, publications: Sequence[Publication]) -> list[Claim]:
        try:
            return await self._publish(publications)
        except KafkaError as error:
            if len(publications) == 1:
                log.warning("not_published", contact_id=publications[0].claim.contact_id, error=type(error).__name__)
                return []
        held = (each for each in publications if is_still_held(each.claim))
        return [claim for each in held for claim in await self._publish_separately_on_error([each])]

    async def _publish(self, publications: Sequence[Publication]) -> list[Claim]:
        """Return the claims that are still held when the broker has answered, however long that took.

        The others' next holder publishes everything again. Their customers may have been erased meanwhile, so nothing
        of theirs is stored or removed.
        """
        records = [self._record(each.claim.contact_id, entry) for each in publications for entry in each.entries]
        if records:
            await publish(self._producer, records)
        held = [each for each in publications if is_still_held(each.claim)]
        await self._record_published(held)
        return [each.claim for each in held]

    async def _record_published(self, publications: Sequence[Publication]) -> None:
        entries = [entry for each in publications for entry in each.entries]
        await self._activities.insert([entry.activity for entry in entries if entry.activity])
        await self._contacts.published_all(
            [(each.claim.contact_id, entry) for each in publications for entry in each.unpublished]
        )
        self._metrics.published.inc(len(entries))

    def _record(self, contact_id: str, entry: OutboxEntry) -> Record:
        is_tombstone = not entry.value
        headers = (
            _tombstone_headers(contact_id, entry.version)
            if is_tombstone
            else contact_updated_headers(load_contact_updated(entry.value))
        )
        return Record(self._topic, contact_id.encode(), entry.value, headers)


def _tombstone_headers(contact_id: str, version: int) -> list[Header]:
    return cloud_event_headers(f"{contact_id}#{version}", "contact-forgotten", "analyzer", format_instant(utc_now()))
