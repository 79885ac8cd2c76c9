"""Reads the demo's results from the database and the topic, as any other program would."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from services.demo.checks import BackfillResult
from shared.bus.connection import KafkaConnection
from shared.bus.reader import read_all
from shared.contract.contacts import Contact, ContactUpdated, load_contact_updated
from shared.contract.ids import Platform
from shared.store.contacts import Contacts
from shared.store.conversations import Conversations
from shared.store.messages import MessageStore
from shared.store.mongo import Database
from shared.store.runs import RunStore

MAX_RUNS = 100


@dataclass(frozen=True, slots=True)
class ObservedState:
    database: Database
    kafka: KafkaConnection
    topic: str

    async def contacts(self) -> list[Contact]:
        return [contact async for contact in Contacts(self.database).find({})]

    async def contact(self, contact_id: str) -> Contact | None:
        return await Contacts(self.database).read(contact_id)

    async def texts(self, contact_id: str) -> list[str]:
        """Return the texts of a conversation in their order."""
        return [each.text for each in await MessageStore(self.database).of_conversation(contact_id) if each.text]

    async def deleted_messages(self, contact_id: str) -> int:
        return await MessageStore(self.database).count_deleted(contact_id)

    async def is_settled(self) -> bool:
        """Return whether all that the backfill read is stored, and no conversation waits for analysis."""
        return await Conversations(self.database).is_settled()

    async def backfilled(self) -> BackfillResult:
        """Return the runs, the number of messages read for each conversation, and the contacts."""
        read: dict[Platform, list[int]] = defaultdict(list)
        for conversation in await Conversations(self.database).histories():
            history = conversation["history"]
            read[Platform(conversation["platform"])].append(history["messages"] + history["unavailable"])
        return BackfillResult(await RunStore(self.database).newest(MAX_RUNS), read, await self.contacts())

    async def published(self) -> list[ContactUpdated]:
        """Return every record that is on `contact-updated` now."""
        records = await read_all(self.kafka, self.topic)
        return [load_contact_updated(record.value) for record in records if record.value]
