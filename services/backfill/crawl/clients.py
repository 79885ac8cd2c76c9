"""How a client of the Graph API is made of the settings and an account's token."""

from __future__ import annotations

import typer
from aiohttp import ClientSession

from shared.contract.failures import UnreachableError
from shared.domain.accounts import Account
from shared.graph_api.client import GraphClient
from shared.graph_api.errors import ErrorKind, GraphError
from shared.graph_api.rate_governor import Governor
from shared.runtime.crypto import TokenVault
from shared.runtime.settings import BackfillSettings, VaultSettings


class WrongKeysError(typer.BadParameter):
    """LEADSTREAM_ENCRYPTION_KEYS is empty, malformed, or lacks the key of a stored token: wrong usage of any command.

    Says which setting it is, and nothing of a key.
    """


def open_vault(settings: VaultSettings) -> TokenVault:
    keys = [key.get_secret_value() for key in settings.encryption_keys]
    try:
        return TokenVault(keys)
    except ValueError as error:
        odd = "LEADSTREAM_ENCRYPTION_KEYS has a key that is none; `leadstream config --new-key` prints a new one"
        raise WrongKeysError(odd if keys else str(error)) from None


def token_of(vault: TokenVault, account: Account) -> str:
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


def answered(refusal: GraphError) -> GraphError:
    """The refusal itself. UnreachableError when it is ours, because nobody answered."""
    if refusal.kind is ErrorKind.TRANSIENT and refusal.status is None:
        raise UnreachableError("the Graph API does not answer at LEADSTREAM_GRAPH_URL")
    return refusal
