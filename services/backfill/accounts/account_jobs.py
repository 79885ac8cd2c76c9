"""The jobs of the account commands, with the API clients that they need."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import ClientSession

from services.backfill.accounts.check import Checker, ThrottledError, refusing
from services.backfill.accounts.health import AccountHealth
from services.backfill.accounts.import_accounts import FoundAccount, find_accounts, withheld_permissions
from services.backfill.clients import backfill_client, token_of
from shared.contract.failures import WrongKeysError
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.graph_api.errors import ErrorKind, GraphError
from shared.graph_api.shared_governor import governor_for
from shared.runtime.clock import utc_now
from shared.runtime.crypto import TokenVault, vault_from
from shared.runtime.settings import BackfillSettings
from shared.store.mongo import Database

CHECK_DEADLINE_SECONDS = 10.0
"""How long a call that a person waits for is retried."""
MAX_CHECKS = 4
USER = Account(platform=Platform.MESSENGER, account_id="me", page_id="me", name="", encrypted_token="")
"""The account whose budget a user's own token spends, besides the app's."""


async def find_all(
    settings: BackfillSettings, database: Database, token: str
) -> tuple[list[FoundAccount], list[str]] | GraphError:
    """Return the accounts that the token gives access to and the permissions that it lacks for them."""
    async with ClientSession() as session:
        governor = governor_for(database, USER, refusing)
        client = backfill_client(_with_check_deadline(settings), session, governor, token)
        try:
            found = await find_accounts(client)
            if isinstance(found, GraphError):
                return found
            return found, await withheld_permissions(client, sorted({each.platform for each in found}))
        except ThrottledError as throttled:
            return GraphError(ErrorKind.THROTTLED, detail=str(throttled))


async def check_all(
    settings: BackfillSettings, database: Database, accounts: Sequence[Account], *, subscribe: bool
) -> list[AccountHealth]:
    """Return the health of each account, in order. WrongKeysError when there is no key at all."""
    vault, gate = vault_from(settings), asyncio.Semaphore(MAX_CHECKS)

    async def check(account: Account, session: ClientSession) -> AccountHealth:
        async with gate:
            return await _check(settings, database, session, vault, account, subscribe=subscribe)

    async with ClientSession() as session:
        return await asyncio.gather(*(check(account, session) for account in accounts))


async def _check(
    settings: BackfillSettings, database: Database, session: ClientSession, vault: TokenVault, account: Account,
    *, subscribe: bool,
) -> AccountHealth:  # fmt: skip
    try:
        token = token_of(vault, account)
    except WrongKeysError as error:
        return AccountHealth(account, (str(error),))
    client = backfill_client(_with_check_deadline(settings), session, governor_for(database, account, refusing), token)
    return await Checker(account, client, utc_now).check(subscribe=subscribe)


def _with_check_deadline(settings: BackfillSettings) -> BackfillSettings:
    return settings.model_copy(
        update={"graph_deadline_seconds": min(CHECK_DEADLINE_SECONDS, settings.graph_deadline_seconds)}
    )
