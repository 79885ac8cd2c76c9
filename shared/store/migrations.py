"""Moves the database to the layout of this release. Run by `leadstream setup`; may be repeated or killed at any point.

No analyzer, backfill or console of an earlier release may run meanwhile: it would write to the earlier collections.
"""

from __future__ import annotations

from shared.store.mongo import Collection, Database, insert_all

RENAMED_COLLECTIONS = {"again": "ai_retries", "forgotten": "erasures"}
COPY_BATCH_SIZE = 1_000


async def migrate(database: Database) -> list[str]:
    """Rename collections of earlier releases and return their earlier names.

    Each is copied and then dropped: `renameCollection` needs more rights, and fails when the new collection exists. A
    document that the new collection already has is newer and stays.
    """
    existing = set(await database.list_collection_names())
    renamed = [before for before in RENAMED_COLLECTIONS if before in existing]
    for before in renamed:
        await _copy(database[before], database[RENAMED_COLLECTIONS[before]])
        await database[before].drop()
    return renamed


async def _copy(source: Collection, target: Collection) -> None:
    batch = []
    async for document in source.find({}):
        batch.append(document)
        if len(batch) == COPY_BATCH_SIZE:
            await insert_all(target, batch)
            batch = []
    await insert_all(target, batch)
