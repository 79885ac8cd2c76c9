"""The `account_models` collection: every model that was trained for an account, and which one is in use."""

from __future__ import annotations

from shared.domain.account_models import AccountModel
from shared.store.mongo import Database, Document, DuplicateKeyError

NO_VALUES = {"bias": False, "features": False, "weights": False}
SHIPPED = 0
"""The number that stands for the shipped model."""


class NoModelError(LookupError):
    """The account has no model of this number."""


class AccountModelStore:
    def __init__(self, database: Database) -> None:
        self._models = database.account_models

    async def add(self, model: AccountModel) -> AccountModel:
        """Store the model under the account's next number, which is not in use, and return it."""
        while True:
            newest = await self._models.find_one({"account": model.account}, {"number": True}, sort=[("number", -1)])
            numbered = model.model_copy(update={"number": newest["number"] + 1 if newest else 1})
            try:
                await self._models.insert_one({"_id": _id(numbered.account, numbered.number), **numbered.model_dump()})
            except DuplicateKeyError:
                continue
            return numbered

    async def use(self, account: str, number: int) -> None:
        """Turn one of the account's models on and the others off; SHIPPED turns all off. NoModelError.

        In between, for a moment, the shipped model is in use.
        """
        chosen = _id(account, number)
        if number != SHIPPED and not await self._models.find_one({"_id": chosen}, {"_id": True}):
            raise NoModelError(chosen)
        await self._models.update_many({"account": account}, {"$set": {"in_use": False}})
        await self._models.update_one({"_id": chosen}, {"$set": {"in_use": True}})

    async def in_use(self) -> dict[str, int]:
        """Return the number of the model in use by account, without accounts that use the shipped one."""
        found = self._models.find({"in_use": True}, {"account": True, "number": True})
        return {each["account"]: each["number"] async for each in found}

    async def load(self, account: str, number: int) -> AccountModel | None:
        """ValueError for a model of another layout, as of a later release."""
        stored = await self._models.find_one({"_id": _id(account, number)})
        return AccountModel.model_validate(stored) if stored else None

    async def all(self, account: str | None) -> list[Document]:
        """Return the documents of one or all accounts, oldest first, without the values of the models."""
        where = {"account": account} if account else {}
        return [each async for each in self._models.find(where, NO_VALUES).sort([("account", 1), ("number", 1)])]


def _id(account: str, number: int) -> str:
    return f"{account}#{number}"
