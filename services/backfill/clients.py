"""The token vault and Graph API clients, made from settings and an account's token."""

from __future__ import annotations

from aiohttp import ClientSession

from shared.contract.failures import UnreachableError, WrongKeysError
from shared.domain.accounts import Account
from shared.graph_api.client import GraphClient
from shared.graph_api.errors import ErrorKind, GraphError
from shared.graph_api.rate_governor import Governor
from shared.runtime.crypto import TokenVault
from shared.runtime.settings import BackfillSettings, VaultSettings


def open_vault(settings: VaultSettings) -> TokenVault:
    """Return the vault of the settings' keys. WrongKeysError when there is none or one is malformed."""
    keys = [key.get_secret_value() for key in settings.encryption_keys]
    try:
        return TokenVault(keys)
    except ValueError as error:
        malformed = "LEADSTREAM_ENCRYPTION_KEYS has a malformed key; `leadstream config --new-key` prints a new one"
        raise WrongKeysError(malformed if keys else str(error)) from None


def token_of(vault: TokenVault, account: Account) -> str:
    """Return the account's decrypted token. WrongKeysError when no key of the vault encrypted it."""
    try:
        return vault.decrypt(account.encrypted_token)
    except ValueError as error:
        raise WrongKeysError(f"{account.key}: {error}") from None


def graph_client(settings: BackfillSettings, session: ClientSession, governor: Governor, token: str) -> GraphClient:
    return GraphClient(
        session=session,
        base_url=settings.graph_url,
        version=settings.graph_version,
        token=token,
        governor=governor,
        app_secret=next((secret.get_secret_value() for secret in settings.app_secrets), None),
        timeout_seconds=settings.graph_timeout_seconds,
        deadline_seconds=settings.graph_deadline_seconds,
    )


def require_answer(error: GraphError) -> GraphError:
    """Return `error` if the platform sent it. UnreachableError when there was no answer at all."""
    if error.kind is ErrorKind.TRANSIENT and error.status is None:
        raise UnreachableError("the Graph API does not answer at LEADSTREAM_GRAPH_URL")
    return error
