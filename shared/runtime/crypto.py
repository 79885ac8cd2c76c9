"""Encryption of stored access tokens, and Facebook's two HMACs."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from shared.contract.failures import WrongKeysError
from shared.runtime.settings import VaultSettings


class TokenVault:
    """Encrypts with the first key and decrypts with any: to rotate, put the new key in front."""

    def __init__(self, keys: Sequence[str]) -> None:
        """WrongKeysError when there is no key or one is not 32 url-safe base64 bytes."""
        if not keys:
            raise WrongKeysError("LEADSTREAM_ENCRYPTION_KEYS is empty; `leadstream config --new-key` prints a new one")
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise WrongKeysError(
                "LEADSTREAM_ENCRYPTION_KEYS has a malformed key; `leadstream config --new-key` prints a new one"
            ) from None

    def encrypt(self, token: str) -> str:
        return self._fernet.encrypt(token.encode()).decode()

    def decrypt(self, encrypted: str) -> str:
        """WrongKeysError when none of the keys made `encrypted`."""
        try:
            return self._fernet.decrypt(encrypted).decode()
        except InvalidToken:
            raise WrongKeysError(
                "a token was encrypted with a key that LEADSTREAM_ENCRYPTION_KEYS no longer has"
            ) from None


def vault_from(settings: VaultSettings) -> TokenVault:
    """WrongKeysError as of `TokenVault`."""
    return TokenVault([key.get_secret_value() for key in settings.encryption_keys])


def appsecret_proof(app_secret: str, access_token: str) -> str:
    """Hex HMAC-SHA256 of the token under the app secret.

    Source: developers.facebook.com/docs/graph-api/guides/secure-requests.
    """
    return hmac.new(app_secret.encode(), access_token.encode(), hashlib.sha256).hexdigest()


def webhook_signature(app_secret: str, body: bytes) -> str:
    """Value of `X-Hub-Signature-256` for the raw `body`: `sha256=` and 64 hex digits."""
    keyed = _keyed(app_secret).copy()
    keyed.update(body)
    return "sha256=" + keyed.hexdigest()


@lru_cache(16)
def _keyed(app_secret: str) -> hmac.HMAC:
    """Return an HMAC with the key already absorbed, which is half of the work for a short body."""
    return hmac.new(app_secret.encode(), digestmod="sha256")
