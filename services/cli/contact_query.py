"""Which contacts an operator asks for, as MongoDB finds them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from shared.contract.contacts import AnalysisSource, Contact, LeadStatus
from shared.store.contacts import CONTACT_ALONE
from shared.store.mongo import Database, Document


@dataclass(frozen=True, slots=True)
class Wanted:
    """None leaves out no one. `account` is `platform:account_id`; `status` is the one that counts."""

    account: str | None = None
    status: LeadStatus | None = None
    stage: str | None = None
    source: AnalysisSource | None = None

    def query(self) -> Document:
        """Never one who was forgotten. An account's contacts are a range of ids, so its index serves."""
        found: Document = {"forgotten_at": {"$exists": False}}
        if self.account:
            found["_id"] = {"$gte": f"{self.account}:", "$lt": f"{self.account};"}
        if self.status:
            by_machine = {"lead_status": None, "analysis.lead_status": self.status.value}
            found["$or"] = [{"lead_status": self.status.value}, by_machine]
        if self.stage:
            found["stage.name"] = self.stage
        if self.source:
            found["analysis.source"] = self.source.value
        return found


async def find_contacts(database: Database, wanted: Wanted, limit: int = 0) -> AsyncIterator[Contact]:
    """In the order of their ids, `limit` of them at most; 0 is no limit."""
    found = database.contacts.find(wanted.query(), CONTACT_ALONE).sort("_id", 1).limit(limit)
    async for stored in found:
        yield Contact.model_validate(stored)
