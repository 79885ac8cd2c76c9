"""What the server or the driver says of a document that cannot be held, whatever the command."""

from __future__ import annotations

from typing import Any, cast

import pytest
from bson.errors import InvalidDocument
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure

from shared.store.mongo import Collection, UnstorableError, UpdateOne, WriteFailedError, insert_all, write_all

WRITE = UpdateOne({"_id": "1"}, {"$set": {"a": 1}})


class Refusing:
    name = "messages"

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def insert_many(self, *_: Any, **__: Any) -> None:
        raise self._error

    async def bulk_write(self, *_: Any, **__: Any) -> None:
        raise self._error


def refused_with(*codes: int) -> BulkWriteError:
    errors = [{"index": 0, "code": code, "errmsg": "quotes the document"} for code in codes]
    return BulkWriteError({"writeErrors": errors})


async def write_both(error: Exception, expected: type[Exception]) -> None:
    collection = cast(Collection, Refusing(error))
    with pytest.raises(expected):
        await insert_all(collection, [{"_id": "1"}])
    with pytest.raises(expected):
        await write_all(collection, [WRITE])


@pytest.mark.parametrize(
    "error",
    [
        *(refused_with(code) for code in (2, 15, 10334)),
        refused_with(11000, 15),
        *(OperationFailure("quotes the document", code) for code in (2, 15, 10334)),
        InvalidDocument("key contains a NUL"),
        DocumentTooLarge("more than 16 MiB"),
        OverflowError("more than 64 bits"),
    ],
)
async def test_a_value_that_cannot_be_held_is_unstorable(error: Exception) -> None:
    await write_both(error, UnstorableError)


async def test_another_refusal_is_not_the_documents_fault() -> None:
    await write_both(refused_with(13), WriteFailedError)
    await write_both(OperationFailure("not authorised", 13), OperationFailure)
