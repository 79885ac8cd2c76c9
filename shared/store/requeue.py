"""Putting conversations on the analyzer's work queue by hand: after an edit, or to have them analysed anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shared.store.mongo import Database


async def requeue(database: Database, contact_ids: Iterable[str], *, reanalyse: bool = False) -> int:
    """How many there are of these conversations; a worker takes each of them at once, and again if it is at it now.

    With `reanalyse` an analysis that is older than this, by the server's clock, is made anew whatever was said.
    """
    fields: dict[str, Any] = {
        "revision": {"$add": [{"$ifNull": ["$revision", 0]}, 1]},
        "first_pending_at": {"$ifNull": ["$first_pending_at", "$$NOW"]},
        "due_at": "$$NOW",
    }
    if reanalyse:
        fields["reanalyse_at"] = "$$NOW"
    result = await database.conversations.update_many({"_id": {"$in": list(contact_ids)}}, [{"$set": fields}])
    return result.matched_count
