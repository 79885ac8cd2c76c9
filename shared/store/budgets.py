"""The rate budgets that all processes share, in `budgets`: one document for the app and one for each account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from shared.domain.budgets import UNKNOWN_BUDGET, Budget
from shared.store.mongo import Database, Document, DuplicateKeyError
from shared.store.server_clock import ServerClock


@dataclass(slots=True)
class MongoBudgetStore:
    """The document of one budget. A replacement succeeds only against the version before it."""

    database: Database
    key: str
    clock: ServerClock

    def now(self) -> float:
        return self.clock.now()

    async def read(self) -> Budget:
        await self.clock.synchronise()
        stored = await self.database.budgets.find_one({"_id": self.key})
        return _budget(stored) if stored else UNKNOWN_BUDGET

    async def replace(self, new: Budget) -> bool:
        document = _document(new)
        if new.version == 1:
            try:
                await self.database.budgets.insert_one({"_id": self.key, **document})
            except DuplicateKeyError:
                return False
            return True
        before = {"_id": self.key, "version": new.version - 1}
        return (await self.database.budgets.update_one(before, {"$set": document})).matched_count == 1


def _budget(stored: Document) -> Budget:
    return Budget(
        usage=stored["usage"],
        shut_until=stored["shut_until"].timestamp(),
        refusals=stored["refusals"],
        is_probed=stored["is_probed"],
        last_slot=stored["last_slot"].timestamp(),
        version=stored["version"],
    )


def _document(budget: Budget) -> Document:
    return {
        "usage": budget.usage,
        "shut_until": datetime.fromtimestamp(budget.shut_until, UTC),
        "refusals": budget.refusals,
        "is_probed": budget.is_probed,
        "last_slot": datetime.fromtimestamp(budget.last_slot, UTC),
        "version": budget.version,
    }
