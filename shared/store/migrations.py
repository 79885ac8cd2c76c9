"""Moves the database to the layout of this release. Run by `leadstream setup`; may be repeated or killed at any point.

No analyzer, backfill or console of an earlier release may run meanwhile: it would write to the earlier collections.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.contract.failures import UnreachableError
from shared.store.mongo import Collection, Database, Document, insert_all

RENAMED_COLLECTIONS = {"again": "ai_retries", "forgotten": "erasures"}
COPY_BATCH_SIZE = 1_000


async def migrate(database: Database) -> list[str]:
    """Rename collections of earlier releases and return their earlier names.

    Each is copied and then dropped: `renameCollection` needs more rights, and fails when the new collection exists. Of
    two documents with the same id the one with the later time stays: a customer may have been erased under either.
    """
    renamed = await _earlier_collections(database)
    for before in renamed:
        await _copy(database[before], database[RENAMED_COLLECTIONS[before]])
        await database[before].drop()
    return renamed


async def require_migrated(database: Database) -> None:
    """UnreachableError while a collection of an earlier release exists: its erasures would not be seen."""
    if earlier := await _earlier_collections(database):
        raise UnreachableError(
            f"the database has collections of an earlier release ({', '.join(earlier)}); run `leadstream setup`"
        )


async def _earlier_collections(database: Database) -> list[str]:
    existing = set(await database.list_collection_names())
    return [before for before in RENAMED_COLLECTIONS if before in existing]


async def _copy(source: Collection, target: Collection) -> None:
    batch: list[Document] = []
    async for document in source.find({}):
        batch.append(document)
        if len(batch) == COPY_BATCH_SIZE:
            await _insert_latest(target, batch)
            batch = []
    await _insert_latest(target, batch)


async def _insert_latest(target: Collection, documents: Sequence[Document]) -> None:
    existing = await insert_all(target, documents)
    for document in documents:
        if document["_id"] in existing:
            await target.replace_one({"_id": document["_id"], "at": {"$lt": document["at"]}}, document)
