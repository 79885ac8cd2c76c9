"""Tokens at rest, and Facebook's two HMACs."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class TokenVault:
    """Encrypts with the first key and decrypts with any: to rotate, put the new key in front."""

    def __init__(self, keys: Sequence[str]) -> None:
        """ValueError when there is no key or one is not 32 url-safe base64 bytes (`leadstream config --new-key`)."""
        if not keys:
            raise ValueError("LEADSTREAM_ENCRYPTION_KEYS is empty; `leadstream config --new-key` prints a new one")
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def encrypt(self, token: str) -> str:
        return self._fernet.encrypt(token.encode()).decode()

    def decrypt(self, encrypted: str) -> str:
        """ValueError when none of the keys made `encrypted`."""
        try:
            return self._fernet.decrypt(encrypted).decode()
        except InvalidToken:
            raise ValueError("a token was encrypted with a key that LEADSTREAM_ENCRYPTION_KEYS no longer has") from None


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
    """Taking the key in is half of the work for a short body."""
    return hmac.new(app_secret.encode(), digestmod="sha256")
