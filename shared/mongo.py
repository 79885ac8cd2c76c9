"""The database. The only module that imports motor, which is past its makers' support (ADR 0001)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError, ConnectionFailure, DuplicateKeyError, PyMongoError

from shared.failures import UnreachableError
from shared.indexes import Index

__all__ = [
    "BulkWriteError",
    "Collection",
    "ConnectionFailure",
    "Database",
    "Document",
    "DuplicateKeyError",
    "PyMongoError",
    "ReplaceOne",
    "UpdateOne",
    "ensure_indexes",
    "open_database",
    "server_time",
]

Document: TypeAlias = dict[str, Any]
Database: TypeAlias = AsyncIOMotorDatabase[Document]
Collection: TypeAlias = AsyncIOMotorCollection[Document]


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Journaled majority writes; times come back in UTC. UnreachableError when no server answers within 5 s."""
    client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
        url, tz_aware=True, tzinfo=UTC, w="majority", journal=True, serverSelectionTimeoutMS=5_000
    )
    try:
        await client.admin.command("ping")
    except ConnectionFailure as error:
        client.close()
        raise UnreachableError("no MongoDB server answers at LEADSTREAM_MONGO_URL") from error
    try:
        yield client.get_default_database("leadstream")
    finally:
        client.close()


async def ensure_indexes(database: Database, indexes: Iterable[Index]) -> None:
    """Makes what is missing; harmless when all are there."""
    for index in indexes:
        options: dict[str, Any] = {"name": index.name, "unique": index.unique}
        if index.where is not None:
            options["partialFilterExpression"] = index.where
        await database[index.collection].create_index(list(index.keys), **options)


async def server_time(database: Database) -> datetime:
    """The server's clock, which leases are told by, so that workers need not agree on the time."""
    reply = await database.client.admin.command("hello")
    now: datetime = reply["localTime"]
    return now if now.tzinfo else now.replace(tzinfo=UTC)
