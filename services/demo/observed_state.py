"""Reads the demo's results from the database and the topic, as any other program would."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from services.demo.checks import BackfillResult
from shared.bus.reader import read_all
from shared.contract.contacts import Contact, ContactUpdated, load_contact_updated
from shared.contract.ids import Platform
from shared.domain.messages import from_document
from shared.domain.runs import Run
from shared.store.contacts import CONTACT_ALONE
from shared.store.mongo import Database


@dataclass(frozen=True, slots=True)
class ObservedState:
    database: Database
    bootstrap_servers: str
    topic: str

    async def contacts(self) -> list[Contact]:
        stored = await self.database.contacts.find({}, CONTACT_ALONE).to_list(None)
        return [Contact.model_validate({"contact_id": each["_id"], **each}) for each in stored]

    async def contact(self, contact_id: str) -> Contact | None:
        stored = await self.database.contacts.find_one({"_id": contact_id}, CONTACT_ALONE)
        return Contact.model_validate({"contact_id": stored["_id"], **stored}) if stored else None

    async def texts(self, contact_id: str) -> list[str]:
        stored = await self.database.messages.find({"conversation": contact_id}).sort("sent_at", 1).to_list(None)
        return [message.text for message in map(from_document, stored) if message.text]

    async def deleted_messages(self, contact_id: str) -> int:
        return await self.database.messages.count_documents(
            {"conversation": contact_id, "deleted_at": {"$exists": True}}
        )

    async def is_settled(self) -> bool:
        """Return whether all that the backfill read is stored, and no conversation waits for analysis."""
        is_on_its_way = {"$expr": {"$ne": ["$history.run_id", "$completed_run"]}}
        for waiting in ({"due_at": {"$exists": True}}, {"history": {"$exists": True}, **is_on_its_way}):
            if await self.database.conversations.find_one(waiting):
                return False
        return True

    async def backfilled(self) -> BackfillResult:
        """Return the runs, the number of messages read for each conversation, and the contacts."""
        runs = [Run.model_validate(each) for each in await self.database.sync_runs.find({}).to_list(None)]
        read: dict[Platform, list[int]] = defaultdict(list)
        async for conversation in self.database.conversations.find({"history": {"$exists": True}}):
            history = conversation["history"]
            read[Platform(conversation["platform"])].append(history["messages"] + history["unavailable"])
        return BackfillResult(runs, read, await self.contacts())

    async def published(self) -> list[ContactUpdated]:
        """Return every record that is on `contact-updated` now."""
        records = await read_all(self.bootstrap_servers, self.topic)
        return [load_contact_updated(record.value) for record in records if record.value]
