"""The `activities` collection: one document for each change of a contact's stage, and why it changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.contract.contacts import Activity, AnalysisSource, activities_of
from shared.store.mongo import Database, Document, insert_all


class ActivityStore:
    def __init__(self, database: Database) -> None:
        self._activities = database.activities

    async def insert(self, activities: Sequence[Document]) -> None:
        """Insert dumped activities; one that exists was published before and stays as it is."""
        await insert_all(self._activities, [{"_id": each["activity_id"], **each} for each in activities])

    async def of(self, contact_id: str) -> list[Activity]:
        """Return a contact's activities, oldest version first."""
        found = self._activities.find(activities_of(contact_id)).sort("version", 1)
        return [Activity.model_validate(each) async for each in found]

    async def withdraw_reasoning(self, contact_ids: Iterable[str]) -> None:
        """Empty the AI's reasoning in these contacts' activities: it may quote a message deleted since (promise 9)."""
        for contact_id in contact_ids:
            by_ai = {**activities_of(contact_id), "source": AnalysisSource.AI}
            await self._activities.update_many(by_ai, {"$set": {"reasoning": ""}})

    async def erase(self, contact_id: str) -> int:
        """Delete a contact's activities and return how many there were."""
        return (await self._activities.delete_many(activities_of(contact_id))).deleted_count
