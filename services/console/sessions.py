"""Who is at the console: a role, kept in a signed cookie, and the token that each of its forms must carry. Pure.

The key is made from the passwords, so that a changed password ends all sessions and several processes share them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum

import orjson

LIFETIME_SECONDS = 12 * 3600


class Role(StrEnum):
    """A viewer looks, an editor changes things as well."""

    VIEWER = "viewer"
    EDITOR = "editor"


@dataclass(frozen=True, slots=True)
class Access:
    """`session_id` is what its CSRF token is made from. `name` is whom a proxy has let in."""

    role: Role
    session_id: str
    name: str = ""
    is_login: bool = True

    @property
    def may_edit(self) -> bool:
        return self.role is Role.EDITOR


class Signer:
    def __init__(self, *secrets_of_it: str) -> None:
        self._key = hashlib.sha256("\0".join(("leadstream console", *secrets_of_it)).encode()).digest()

    def session(self, role: Role, now: float) -> str:
        """The value of a new session's cookie; `now` in seconds since 1970."""
        return self.signed({"role": role, "id": secrets.token_urlsafe(16), "until": int(now) + LIFETIME_SECONDS})

    def access(self, cookie: str, now: float) -> Access | None:
        """None where it is not one of ours or its time is over."""
        fields = self.read(cookie)
        until = fields.get("until") if fields else None
        if fields is None or not isinstance(until, int) or until <= now:
            return None
        return Access(Role(str(fields["role"])), str(fields["id"]))

    def csrf(self, access: Access) -> str:
        return self._digest(b"csrf\0" + access.session_id.encode())

    def is_csrf(self, token: str, access: Access) -> bool:
        return hmac.compare_digest(token.encode(errors="replace"), self.csrf(access).encode())

    def signed(self, fields: dict[str, object]) -> str:
        body = base64.urlsafe_b64encode(orjson.dumps(fields))
        return f"{body.decode()}.{self._digest(body)}"

    def read(self, value: str) -> dict[str, object] | None:
        """The fields that were signed; None for anything else."""
        body, _, signature = value.partition(".")
        encoded = body.encode(errors="replace")
        if not hmac.compare_digest(signature.encode(errors="replace"), self._digest(encoded).encode()):
            return None
        fields: dict[str, object] = orjson.loads(base64.urlsafe_b64decode(encoded))
        return fields

    def _digest(self, what: bytes) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self._key, what, "sha256")).decode().rstrip("=")
