"""How an account is, as another service asks it."""

from __future__ import annotations

from typing import Any

from services.backfill.account_jobs import check_all
from services.backfill.account_views import health_json
from services.backfill.clients import WrongKeysError
from shared.accounts import Account
from shared.mongo import Database
from shared.settings import BackfillSettings


async def check_account(database: Database, account: Account) -> dict[str, Any]:
    """What `leadstream accounts check --json` says. ValueError when its token cannot be decrypted; UnreachableError
    when the platform does not answer."""
    try:
        (health,) = await check_all(BackfillSettings(), database, [account], subscribe=False)
    except WrongKeysError as error:
        raise ValueError(error.message) from None
    return health_json(health)
