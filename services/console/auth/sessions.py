"""Signed session cookies, and the CSRF token that each form of a session carries. Pure.

A value that was signed for one purpose is not valid for another.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum

import orjson

LIFETIME_SECONDS = 12 * 3600
SESSION, MESSAGE = "session", "message"


class AccessRole(StrEnum):
    """A viewer reads; an editor also makes changes."""

    VIEWER = "viewer"
    EDITOR = "editor"


@dataclass(frozen=True, slots=True)
class Access:
    """`session_id` is what the CSRF token is derived from. `name` is the user that a proxy named. With `is_token` it is
    a program; no other site can make a browser send its token, so it needs no CSRF token."""

    role: AccessRole
    session_id: str
    name: str = ""
    is_login: bool = True
    is_token: bool = False

    @property
    def may_edit(self) -> bool:
        return self.role is AccessRole.EDITOR


class Signer:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def session(self, role: AccessRole, now: float) -> str:
        """Return the cookie of a new session; `now` is in seconds since 1970."""
        fields = {"role": role, "id": secrets.token_urlsafe(16), "until": int(now) + LIFETIME_SECONDS}
        return self.signed(fields, SESSION)

    def access(self, cookie: str, now: float) -> Access | None:
        """Return None for a cookie that was not signed here or has expired."""
        fields = self.read(cookie, SESSION)
        until = fields.get("until") if fields else None
        if fields is None or not isinstance(until, int) or until <= now:
            return None
        return Access(AccessRole(str(fields["role"])), str(fields["id"]))

    def csrf(self, access: Access) -> str:
        return self._digest(b"csrf\0" + access.session_id.encode())

    def is_csrf(self, token: str, access: Access) -> bool:
        return hmac.compare_digest(token.encode(errors="replace"), self.csrf(access).encode())

    def signed(self, fields: dict[str, object], purpose: str = MESSAGE) -> str:
        body = base64.urlsafe_b64encode(orjson.dumps(fields))
        return f"{body.decode()}.{self._digest(_for(purpose, body))}"

    def read(self, value: str, purpose: str = MESSAGE) -> dict[str, object] | None:
        """Return the fields that were signed for `purpose`; None for any other value."""
        body, _, signature = value.partition(".")
        encoded = body.encode(errors="replace")
        expected = self._digest(_for(purpose, encoded))
        if not hmac.compare_digest(signature.encode(errors="replace"), expected.encode()):
            return None
        fields: dict[str, object] = orjson.loads(base64.urlsafe_b64decode(encoded))
        return fields

    def _digest(self, content: bytes) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self._key, content, "sha256")).decode().rstrip("=")


def _for(purpose: str, body: bytes) -> bytes:
    return purpose.encode() + b"\0" + body


class EndedSessions:
    """Sessions that were signed out of before they expired, as far as this process knows: their cookies are refused."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._until

    def add(self, session_id: str, now: float) -> None:
        self._until = {each: until for each, until in self._until.items() if until > now}
        self._until[session_id] = now + LIFETIME_SECONDS
