"""Which contacts a command is about."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contract.contacts import AnalysisSource, LeadStatus
from shared.store.contacts import of_account
from shared.store.mongo import Document


@dataclass(frozen=True, slots=True)
class ContactFilter:
    """`None` means no filter. `account` is `platform:account_id`; a person's `status` overrides an analysis's."""

    account: str | None = None
    status: LeadStatus | None = None
    stage: str | None = None
    source: AnalysisSource | None = None

    def query(self) -> Document:
        """Return the query for `Contacts.find`."""
        query = of_account(self.account) if self.account else {}
        if self.status:
            by_analysis = {"lead_status": None, "analysis.lead_status": self.status.value}
            query["$or"] = [{"lead_status": self.status.value}, by_analysis]
        if self.stage:
            query["stage.name"] = self.stage
        if self.source:
            query["analysis.source"] = self.source.value
        return query
