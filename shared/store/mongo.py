"""The database. The only module that imports motor, whose support has ended (ADR 0001)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias

import bson
from bson.errors import InvalidDocument
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError, ConnectionFailure, DuplicateKeyError, OperationFailure, PyMongoError

from shared.contract.failures import UnreachableError
from shared.store.indexes import Index

__all__ = [
    "Collection",
    "ConnectionFailure",
    "Database",
    "Document",
    "DuplicateKeyError",
    "PyMongoError",
    "ReplaceOne",
    "UnstorableError",
    "UpdateOne",
    "WriteFailedError",
    "answers",
    "ensure_indexes",
    "insert_all",
    "is_storable",
    "missing_indexes",
    "open_database",
    "server_time",
    "write_all",
]

DUPLICATE_KEY = 11000
REFUSED_VALUES = {2, 15, 10334}
"""The server's codes for a document that it does not hold: BadValue, Overflow (nested too deeply), BSONObjectTooLarge.
Source: mongodb/mongo, src/mongo/base/error_codes.yml."""
_UNSTORABLE = (InvalidDocument, OverflowError, RecursionError)


class UnstorableError(Exception):
    """A value that MongoDB cannot hold: an integer over 64 bits, a NUL in a field's name, more than 16 MiB."""


class WriteFailedError(Exception):
    """A bulk write that the server refused. It names error codes only: the driver's error quotes the documents."""


Document: TypeAlias = dict[str, Any]
Database: TypeAlias = AsyncIOMotorDatabase[Document]
Collection: TypeAlias = AsyncIOMotorCollection[Document]


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Open the database with journaled majority writes; times are read in UTC.

    UnreachableError, with the driver's reason, when no server answers within 5 s; also when it refuses the URL's
    user, and when the URL is invalid or names a file that cannot be used.
    """
    try:
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            url, tz_aware=True, tzinfo=UTC, w="majority", journal=True, serverSelectionTimeoutMS=5_000
        )
    except OSError as error:
        raise UnreachableError(f"a file that LEADSTREAM_MONGO_URL names cannot be used: {error}") from None
    except (PyMongoError, ValueError):
        raise UnreachableError("LEADSTREAM_MONGO_URL is not a MongoDB connection string") from None
    try:
        # Unlike a ping it needs a login where the server has users.
        await client.get_default_database("leadstream").command(
            "listCollections", nameOnly=True, authorizedCollections=True
        )
    except ConnectionFailure as error:
        client.close()
        raise UnreachableError(f"no MongoDB server answers at LEADSTREAM_MONGO_URL: {_reason(error)}") from error
    except PyMongoError:
        client.close()
        raise UnreachableError("MongoDB refuses the user, password or options of LEADSTREAM_MONGO_URL") from None
    try:
        yield client.get_default_database("leadstream")
    finally:
        client.close()


def _reason(error: ConnectionFailure) -> str:
    """Return the addresses and reasons of the driver's message, which contains no user, with advice about TLS."""
    reason = str(error).partition(" (configured timeouts")[0].partition(", Timeout:")[0]
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return f"{reason}; its option `tlsCAFile` names the trusted CAs"
    if "reset by peer" in reason or "connection closed" in reason:
        return f"{reason}; the server may require its option `tls=true`"
    return reason


async def ensure_indexes(database: Database, indexes: Iterable[Index]) -> None:
    """Create missing indexes; those that exist are left as they are."""
    for index in indexes:
        options: dict[str, Any] = {"name": index.name, "unique": index.unique}
        if index.where is not None:
            options["partialFilterExpression"] = index.where
        await database[index.collection].create_index(list(index.keys), **options)


async def missing_indexes(database: Database, indexes: Iterable[Index]) -> list[str]:
    """Return `collection.index` for each index that does not exist."""
    collections = set(await database.list_collection_names())
    missing = []
    for index in indexes:
        present = await database[index.collection].index_information() if index.collection in collections else {}
        if index.name not in present:
            missing.append(f"{index.collection}.{index.name}")
    return missing


async def server_time(database: Database) -> datetime:
    """Return the server's time. Leases use it, so workers need not agree on the time."""
    reply = await database.client.admin.command("hello")
    now: datetime = reply["localTime"]
    return now if now.tzinfo else now.replace(tzinfo=UTC)


async def answers(database: Database) -> bool:
    """Return whether the server answers within two seconds."""
    try:
        async with asyncio.timeout(2):
            await database.client.admin.command("ping")
    except (TimeoutError, PyMongoError):
        return False
    return True


async def insert_all(collection: Collection, documents: Sequence[Document]) -> set[str]:
    """Insert documents in one unordered command and return the ids that existed; those documents are unchanged.

    UnstorableError or WriteFailedError when it can never work, ConnectionFailure when no majority acknowledged it. A
    part may be written in each case.
    """
    if not documents:
        return set()
    try:
        await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        return {documents[each["index"]]["_id"] for each in _duplicates(error, collection)}
    except (*_UNSTORABLE, OperationFailure) as error:
        raise _refusal(error) from None
    return set()


async def write_all(collection: Collection, writes: Sequence[ReplaceOne[Document] | UpdateOne]) -> bool:
    """Write in one unordered command. False when a write met another writer: nothing matched, or its key exists.

    UnstorableError, WriteFailedError and ConnectionFailure as for `insert_all`.
    """
    try:
        result = await collection.bulk_write(list(writes), ordered=False)
    except BulkWriteError as error:
        _duplicates(error, collection)
        return False
    except (*_UNSTORABLE, OperationFailure) as error:
        raise _refusal(error) from None
    return result.matched_count + result.upserted_count == len(writes)


def _duplicates(error: BulkWriteError, collection: Collection) -> Sequence[Document]:
    """Return the writes whose key existed, when nothing else went wrong.

    ConnectionFailure when no majority acknowledged the command: a failover may undo it, so it must be repeated.
    """
    if error.details.get("writeConcernErrors"):
        raise ConnectionFailure(f"no majority has what was written to {collection.name}") from None
    refused: Sequence[Document] = error.details.get("writeErrors", ())
    codes = {each.get("code") for each in refused}
    if values := codes & REFUSED_VALUES:
        raise UnstorableError(f"codes {sorted(map(str, values))}") from None
    if codes != {DUPLICATE_KEY}:
        raise WriteFailedError(f"writing to {collection.name} failed with codes {sorted(map(str, codes))}") from None
    return refused


def _refusal(error: Exception) -> Exception:
    """Return UnstorableError for a value that cannot be held, whether the driver or the server says so."""
    if isinstance(error, OperationFailure) and error.code not in REFUSED_VALUES:
        return error
    return UnstorableError(type(error).__name__)


def is_storable(document: Mapping[str, Any]) -> bool:
    try:
        bson.encode(document)
    except _UNSTORABLE:
        return False
    return True
