"""Graph API clients, made from settings and an account's token."""

from __future__ import annotations

from aiohttp import ClientSession

from shared.contract.failures import UnreachableError, WrongKeysError
from shared.domain.accounts import Account
from shared.graph_api.client import GraphClient, graph_client
from shared.graph_api.errors import ErrorKind, GraphError
from shared.graph_api.rate_governor import Governor
from shared.runtime.crypto import TokenVault
from shared.runtime.settings import BackfillSettings


def token_of(vault: TokenVault, account: Account) -> str:
    """Return the account's decrypted token. WrongKeysError when no key of the vault encrypted it."""
    try:
        return vault.decrypt(account.encrypted_token)
    except ValueError as error:
        raise WrongKeysError(f"{account.key}: {error}") from None


def backfill_client(settings: BackfillSettings, session: ClientSession, governor: Governor, token: str) -> GraphClient:
    timeout, deadline = settings.graph_timeout_seconds, settings.graph_deadline_seconds
    return graph_client(settings, session, governor, token, timeout_seconds=timeout, deadline_seconds=deadline)


def require_answer(error: GraphError) -> GraphError:
    """Return `error` if the platform sent it. UnreachableError when there was no answer at all."""
    if error.kind is ErrorKind.TRANSIENT and error.status is None:
        raise UnreachableError("the Graph API does not answer at LEADSTREAM_GRAPH_URL")
    return error
