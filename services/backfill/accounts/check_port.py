"""The check of an account as a function for another service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from services.backfill.accounts.account_jobs import check_all
from services.backfill.accounts.health import health_json
from shared.domain.accounts import Account
from shared.runtime.settings import BackfillSettings
from shared.store.mongo import Database


def account_check(settings: BackfillSettings) -> Callable[[Database, Account], Awaitable[dict[str, Any]]]:
    """Return a function that returns what `leadstream accounts check --json` prints for one account.

    It raises WrongKeysError when the token cannot be decrypted and UnreachableError when the platform does not answer.
    """

    async def check_account(database: Database, account: Account) -> dict[str, Any]:
        (health,) = await check_all(settings, database, [account], subscribe=False)
        return health_json(health)

    return check_account
