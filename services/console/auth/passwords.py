"""Passwords as they are set, plain or hashed, and whether one is right."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

_COST, _BLOCK, _LANES = 2**14, 8, 1
_MAX_MEMORY = 64 * 1024 * 1024
_SCHEME = "scrypt"


def hashed(password: str) -> str:
    """As it may stand in a setting: `scrypt:n:r:p:salt:key`, the last two in base64."""
    salt = secrets.token_bytes(16)
    key = _derived(password, salt, _COST, _BLOCK, _LANES)
    encoded = (base64.b64encode(part).decode() for part in (salt, key))
    return ":".join((_SCHEME, str(_COST), str(_BLOCK), str(_LANES), *encoded))


def is_right(password: str, stored: str) -> bool:
    """Takes as long for a wrong one. An empty `stored` is nobody's; ValueError for a hash that is malformed."""
    if not stored:
        return False
    if not stored.startswith(f"{_SCHEME}:"):
        return hmac.compare_digest(password.encode(errors="replace"), stored.encode())
    _, cost, block, lanes, salt, key = stored.split(":")
    derived = _derived(password, base64.b64decode(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(derived, base64.b64decode(key))


def stretched(text: str) -> bytes:
    """A key out of what people chose, the same in every process, and slow to try out."""
    return _derived(text, b"leadstream console session", _COST, _BLOCK, _LANES)


def _derived(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(
        password.encode(errors="replace"), salt=salt, n=cost, r=block, p=lanes, maxmem=_MAX_MEMORY, dklen=32
    )
