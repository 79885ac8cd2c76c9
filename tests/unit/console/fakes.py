"""An in-memory database with the few queries that the console's index and status make."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, cast

from pymongo.errors import AutoReconnect

from shared.store.mongo import Database, Document
from tests.unit.console.rows import NOON


class Found:
    def __init__(self, collection: Collection, documents: list[Document]) -> None:
        self._collection = collection
        self._documents = documents

    async def __aiter__(self) -> AsyncIterator[Document]:
        self._collection.check()
        for document in self._documents:
            yield document
            self._collection.meanwhile()


class Collection:
    """`meanwhile` is called after each document that a cursor yields."""

    def __init__(self, *documents: Document) -> None:
        self.documents = {document["_id"]: document for document in documents}
        self.is_away = False
        self.queries = list[Document]()
        self.meanwhile: Callable[[], None] = lambda: None

    def check(self) -> None:
        if self.is_away:
            raise AutoReconnect("the database is away")

    def find(self, query: Document, *_projection: object, **_options: object) -> Found:
        self.queries.append(query)
        return Found(self, [each for each in self.documents.values() if _fits(query, each)])

    async def count_documents(self, _query: Document) -> int:
        self.check()
        return len(self.documents)


def _fits(query: Document, document: Document) -> bool:
    """Supports `$or`, `$in` and plain values."""
    if "$or" in query:
        return any(_fits(each, document) for each in query["$or"])
    wanted = {name: value["$in"] if isinstance(value, dict) else [value] for name, value in query.items()}
    return all(document.get(name) in values for name, values in wanted.items())


class FakeDatabase:
    def __init__(self, *contacts: Document) -> None:
        self.contacts = Collection(*contacts)
        self.conversations = Collection()
        self.sync_runs = Collection()
        self.now = NOON
        self.client = self
        self.admin = self

    async def command(self, _name: str) -> dict[str, datetime]:
        self.sync_runs.check()
        return {"localTime": self.now}

    def as_database(self) -> Database:
        return cast(Database, self)


def stored(contact: Any, **more: Any) -> Document:
    return {"_id": contact.contact_id, **contact.model_dump(), **more}


def erased(contact_id: str, version: int) -> Document:
    """What is stored of an erased contact."""
    return {"_id": contact_id, "version": version, "fence": 1, "forgotten_at": NOON, "outbox": []}
