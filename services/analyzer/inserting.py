"""Inserts of what is most likely new."""

from __future__ import annotations

from collections.abc import Sequence

from shared.mongo import (
    DUPLICATE_KEY,
    BulkWriteError,
    Collection,
    Document,
    PyMongoError,
    UnstorableError,
    WriteFailedError,
    is_storable,
)


async def insert_all(collection: Collection, documents: Sequence[Document]) -> set[str]:
    """One unordered insert; returns the ids of those that were there already, and are as they were.

    UnstorableError or WriteFailedError when it cannot work; a part may be written in any of these cases.
    """
    if not documents:
        return set()
    try:
        await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        refused = error.details.get("writeErrors", ())
        codes = {each["code"] for each in refused}
        if codes != {DUPLICATE_KEY}:
            raise WriteFailedError(f"inserting into {collection.name} failed with codes {sorted(codes)}") from None
        return {documents[each["index"]]["_id"] for each in refused}
    except PyMongoError:
        raise
    except Exception:
        if all(map(is_storable, documents)):
            raise
        raise UnstorableError from None
    return set()
