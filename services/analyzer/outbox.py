"""Versions of contacts to `contact-updated`, each at least once and in their order.

Only who holds a conversation's lease publishes its contact's outbox. A crash before an entry is pulled leaves the
conversation due and its lease to run out, so the next holder finds the entry: nothing else has to sweep for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.analyzer.queue import Claim
from shared.contact_store import Contacts, Entry
from shared.contacts import contact_updated_headers, load_contact_updated
from shared.kafka import AIOKafkaProducer, Record, Topics, publish
from shared.metrics import AnalyzerMetrics
from shared.mongo import Collection


class Outbox:
    def __init__(
        self,
        producer: AIOKafkaProducer,
        topics: Topics,
        contacts: Contacts,
        activities: Collection,
        metrics: AnalyzerMetrics,
    ) -> None:
        self._producer = producer
        self._topic = topics.contact_updated
        self._contacts = contacts
        self._activities = activities
        self._metrics = metrics

    async def drain(self, claim: Claim, entries: Iterable[Entry]) -> None:
        """Returns when all are acknowledged, their activities written, and they are out of the document.

        LeaseLostError before anything is sent that another worker may have gone beyond.
        """
        for entry in entries:
            claim.require_held()
            await publish(self._producer, [self._record(claim.contact_id, entry)])
            if entry.activity:
                activity = {"_id": entry.activity["activity_id"], **entry.activity}
                await self._activities.replace_one({"_id": activity["_id"]}, activity, upsert=True)
            await self._contacts.published(claim.contact_id, entry.version)
            self._metrics.published.inc()

    def _record(self, contact_id: str, entry: Entry) -> Record:
        headers = contact_updated_headers(load_contact_updated(entry.value))
        return Record(self._topic, contact_id.encode(), entry.value, headers)
