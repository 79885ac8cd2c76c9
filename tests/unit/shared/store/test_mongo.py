"""Errors of bulk writes and connection strings."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pymongo.errors import BulkWriteError

from shared.contract.failures import UnreachableError
from shared.store.mongo import Collection, ConnectionFailure, UpdateOne, insert_all, open_database, write_all

UNUSABLE = ("mongodb://", "mongodb://user:se/cret@host/x", "mongodb://127.0.0.1:port/x")

TAKEN = {"index": 0, "code": 11000}


class Refusing:
    name = "messages"

    def __init__(self, **details: Any) -> None:
        self._error = BulkWriteError(details)

    async def insert_many(self, *_arguments: Any, **_options: Any) -> None:
        raise self._error

    bulk_write = insert_many


@pytest.mark.parametrize("refused", [[], [TAKEN]])
async def test_a_write_without_a_majority_is_repeated(refused: list[Any]) -> None:
    collection = cast(Collection, Refusing(writeErrors=refused, writeConcernErrors=[{"code": 64}]))
    with pytest.raises(ConnectionFailure):
        await insert_all(collection, [{"_id": "a"}, {"_id": "b"}])
    with pytest.raises(ConnectionFailure):
        await write_all(collection, [UpdateOne({"_id": "a"}, {"$set": {"b": 1}})])


async def test_a_duplicate_key_is_reported() -> None:
    collection = cast(Collection, Refusing(writeErrors=[TAKEN]))
    assert await insert_all(collection, [{"_id": "a"}, {"_id": "b"}]) == {"a"}


@pytest.mark.parametrize("url", UNUSABLE)
async def test_an_invalid_connection_string_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(UnreachableError, match="LEADSTREAM_MONGO_URL is not") as raised:
        async with open_database(url):
            pass
    assert "cret" not in str(raised.value)
