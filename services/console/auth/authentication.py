"""Decides who may use the console and in which role. Pure.

Four ways lead in: a password, a trusted proxy that names the user, an API token, and, when none of these is set and
the console listens on this machine only, no check at all.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from services.console.auth.passwords import derived_key, matches
from services.console.auth.sessions import Access, AccessRole, EndedSessions, Signer
from shared.runtime.settings import ConsoleSettings

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MIN_TOKEN_CHARS = 32

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class UnprotectedConsoleError(ValueError):
    """The console has no password, but listens on an address that other machines reach."""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The addresses of our own proxies. Forwarding headers from any other address are ignored."""

    networks: tuple[Network, ...]

    def has(self, remote: str | None) -> bool:
        address = _address(remote or "")
        return address is not None and any(address in network for network in self.networks)

    def client(self, remote: str | None, forwarded_for: str) -> str:
        """Return the client's address: the last one in the chain that is not a proxy of ours.

        `forwarded_for` is read from its end, because a client can forge everything before our own proxies' entries.
        """
        entries = (each.strip() for each in reversed(forwarded_for.split(",")))
        chain = [remote or "", *(each for each in entries if _address(each))]
        return next((each for each in chain if not self.has(each)), chain[-1])


@dataclass(frozen=True, slots=True)
class ProxyLogin:
    """A proxy that has signed the user in and names them in `header`."""

    header: str
    editors: frozenset[str]


class ApiTokens:
    """The tokens of programs. A look-up compares all of them, so that its duration reveals nothing."""

    def __init__(self, editors: Sequence[str], viewers: Sequence[str]) -> None:
        """Raise ValueError for a token that is short enough to be guessed."""
        if any(len(each) < MIN_TOKEN_CHARS for each in (*editors, *viewers)):
            raise ValueError(f"each token of LEADSTREAM_CONSOLE_API_TOKENS needs at least {MIN_TOKEN_CHARS} characters")
        roles = ((AccessRole.VIEWER, viewers), (AccessRole.EDITOR, editors))
        self._known = [(role, _digest(each)) for role, tokens in roles for each in tokens]

    def role_of(self, token: str) -> AccessRole | None:
        digest = _digest(token)
        found = [role for role, known in self._known if hmac.compare_digest(digest, known)]
        return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class Authentication:
    """`host_names` are the names that the console answers to; an empty set means any."""

    password: str
    viewer_password: str
    proxy: ProxyLogin | None
    trusted_proxies: TrustedProxies
    tokens: ApiTokens
    host_names: frozenset[str]
    signer: Signer
    ended_sessions: EndedSessions = field(default_factory=EndedSessions)

    @property
    def is_open(self) -> bool:
        """Whether everybody on this machine is an editor without signing in."""
        return not (self.password or self.viewer_password or self.proxy)

    @property
    def has_login(self) -> bool:
        return bool(self.password or self.viewer_password)

    def role_of(self, password: str) -> AccessRole | None:
        """Both passwords are compared, so that the duration does not reveal which of them is set."""
        found = {
            AccessRole.VIEWER: matches(password, self.viewer_password),
            AccessRole.EDITOR: matches(password, self.password),
        }
        return next((role for role in (AccessRole.EDITOR, AccessRole.VIEWER) if found[role]), None)

    def answers_to(self, host_name: str) -> bool:
        """Refuse foreign host names: against DNS rebinding, by which another site's page would read this console."""
        names = LOCAL_NAMES if self.is_open else self.host_names
        return not names or host_name in names

    def access(self, cookie: str, proxy_users: Sequence[str], remote: str | None, now: float) -> Access | None:
        """Return the access of a browser.

        `proxy_users` are all values of the proxy's header, `remote` is the address that sent the request, `now` is in
        seconds since 1970.
        """
        if self.is_open:
            return Access(AccessRole.EDITOR, "open", is_login=False)
        if self.proxy and any(proxy_users) and self.trusted_proxies.has(remote):
            return _proxy_access(self.proxy, proxy_users)
        found = self.signer.access(cookie, now) if cookie else None
        return None if found and found.session_id in self.ended_sessions else found

    def access_of_token(self, token: str) -> Access | None:
        role = self.tokens.role_of(token)
        return Access(role, "token", is_login=False, is_token=True) if role else None


def authentication_of(settings: ConsoleSettings) -> Authentication:
    """Raise UnprotectedConsoleError, or ValueError for a malformed proxy address or a token that is too short."""
    password = settings.console_password.get_secret_value()
    viewer = settings.console_viewer_password.get_secret_value()
    header, editors = settings.console_proxy_header, frozenset(settings.console_proxy_editors)
    auth = Authentication(
        password, viewer, ProxyLogin(header, editors) if header else None,
        TrustedProxies(tuple(ipaddress.ip_network(each) for each in settings.console_proxy_from)),
        ApiTokens(_plain(settings.console_api_tokens), _plain(settings.console_viewer_api_tokens)),
        frozenset(name.casefold() for name in settings.console_names),
        Signer(_signing_key(password, viewer, *_plain(settings.encryption_keys))),
    )  # fmt: skip
    if auth.is_open and settings.console_host not in LOCAL_NAMES:
        raise UnprotectedConsoleError(
            f"without LEADSTREAM_CONSOLE_PASSWORD the console listens on 127.0.0.1 only, not on {settings.console_host}"
        )
    return auth


def _signing_key(*secret_settings: str) -> bytes:
    """Return the key that signs sessions: the same in every process, and another one after a password has changed.

    It is derived_key like a password's hash: otherwise a viewer could try guesses of the editors' password against the
    signature of their own session, at the speed of a plain hash.
    """
    return derived_key("\0".join(secret_settings)) if any(secret_settings) else secrets.token_bytes(32)


def _proxy_access(proxy: ProxyLogin, users: Sequence[str]) -> Access | None:
    """Refuse a header that is repeated: the browser may have sent any of its values."""
    if len(users) != 1 or not users[0].isprintable():
        return None
    (name,) = users
    role = AccessRole.EDITOR if name in proxy.editors else AccessRole.VIEWER
    return Access(role, f"proxy:{name}", name, is_login=False)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IPv4 address that an IPv6 socket reports (`::ffff:10.1.2.3`) is returned as IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _plain(keys: Sequence[SecretStr]) -> list[str]:
    return [key.get_secret_value() for key in keys]
