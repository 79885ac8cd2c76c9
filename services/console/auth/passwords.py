"""Hashes passwords and compares them with the plain or hashed password of a setting."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

_COST, _BLOCK, _LANES = 2**14, 8, 1
_MAX_MEMORY = 64 * 1024 * 1024
_SCHEME = "scrypt"


def password_hash(password: str) -> str:
    """Return the value of a password setting: `scrypt:n:r:p:salt:key`, the last two in base64."""
    salt = secrets.token_bytes(16)
    key = _scrypt(password, salt, _COST, _BLOCK, _LANES)
    encoded = (base64.b64encode(part).decode() for part in (salt, key))
    return ":".join((_SCHEME, str(_COST), str(_BLOCK), str(_LANES), *encoded))


def matches(password: str, stored: str) -> bool:
    """Take as long for a wrong password. An empty `stored` matches nothing; a malformed hash raises ValueError."""
    if not stored:
        return False
    if not stored.startswith(f"{_SCHEME}:"):
        return hmac.compare_digest(password.encode(errors="replace"), stored.encode())
    _, cost, block, lanes, salt, key = stored.split(":")
    derived = _scrypt(password, base64.b64decode(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(derived, base64.b64decode(key))


def derived_key(text: str) -> bytes:
    """Derive a key from text that people chose: the same in every process, and slow to guess."""
    return _scrypt(text, b"leadstream console session", _COST, _BLOCK, _LANES)


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(
        password.encode(errors="replace"), salt=salt, n=cost, r=block, p=lanes, maxmem=_MAX_MEMORY, dklen=32
    )
