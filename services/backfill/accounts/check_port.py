"""How an account is, as another service asks it."""

from __future__ import annotations

from typing import Any

from services.backfill.accounts.account_jobs import check_all
from services.backfill.crawl.clients import WrongKeysError
from services.cli.account_views import health_json
from shared.domain.accounts import Account
from shared.runtime.settings import BackfillSettings
from shared.store.mongo import Database


async def check_account(database: Database, account: Account) -> dict[str, Any]:
    """What `leadstream accounts check --json` says. ValueError when its token cannot be decrypted; UnreachableError
    when the platform does not answer."""
    try:
        (health,) = await check_all(BackfillSettings(), database, [account], subscribe=False)
    except WrongKeysError as error:
        raise ValueError(error.message) from None
    return health_json(health)
