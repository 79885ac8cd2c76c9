"""Who may come in, and as what: by a password, by a proxy's word, by a program's token, or, on this machine alone,
everybody. Pure."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from services.console.auth.passwords import is_right, stretched
from services.console.auth.sessions import Access, AccessRole, EndedSessions, Signer
from shared.runtime.settings import ConsoleSettings

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MIN_TOKEN_CHARS = 32

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class UnprotectedConsoleError(ValueError):
    """Without a password, nobody but this machine may reach the console."""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The addresses from which a proxy comes. What others say of a request's way is not believed."""

    networks: tuple[Network, ...]

    def has(self, remote: str | None) -> bool:
        address = _address(remote or "")
        return address is not None and any(address in network for network in self.networks)

    def client(self, remote: str | None, forwarded_for: str) -> str:
        """Whose request it is: what the last of our proxies says, as all before it may have been made up."""
        said = (each.strip() for each in reversed(forwarded_for.split(",")))
        way = [remote or "", *(each for each in said if _address(each))]
        return next((each for each in way if not self.has(each)), way[-1])


@dataclass(frozen=True, slots=True)
class ProxyLogin:
    """Names in `header` who it has let in."""

    header: str
    editors: frozenset[str]


class ApiTokens:
    """Of programs. All are looked at, so that the time tells nothing of which there are."""

    def __init__(self, editors: Sequence[str], viewers: Sequence[str]) -> None:
        """ValueError for one that could be guessed."""
        if any(len(each) < MIN_TOKEN_CHARS for each in (*editors, *viewers)):
            raise ValueError(f"a token of LEADSTREAM_CONSOLE_API_TOKENS has {MIN_TOKEN_CHARS} characters at least")
        roles = ((AccessRole.VIEWER, viewers), (AccessRole.EDITOR, editors))
        self._known = [(role, _digest(each)) for role, tokens in roles for each in tokens]

    def role_of(self, token: str) -> AccessRole | None:
        shown = _digest(token)
        found = [role for role, known in self._known if hmac.compare_digest(shown, known)]
        return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class Authentication:
    """`names` are the hosts that it answers to; none are all."""

    password: str
    viewer_password: str
    proxy: ProxyLogin | None
    trusted_proxies: TrustedProxies
    tokens: ApiTokens
    names: frozenset[str]
    signer: Signer
    ended_sessions: EndedSessions = field(default_factory=EndedSessions)

    @property
    def is_open(self) -> bool:
        """Nobody is asked anything."""
        return not (self.password or self.viewer_password or self.proxy)

    @property
    def has_login(self) -> bool:
        return bool(self.password or self.viewer_password)

    def role_of(self, password: str) -> AccessRole | None:
        """Both are looked at, so that the time tells nothing of which there are."""
        found = {
            AccessRole.VIEWER: is_right(password, self.viewer_password),
            AccessRole.EDITOR: is_right(password, self.password),
        }
        return next((role for role in (AccessRole.EDITOR, AccessRole.VIEWER) if found[role]), None)

    def answers_to(self, name: str) -> bool:
        """A page of another's may have its own name point to this machine, and then read what is here as its own."""
        names = LOCAL_NAMES if self.is_open else self.names
        return not names or name in names

    def access(self, cookie: str, named: Sequence[str], remote: str | None, now: float) -> Access | None:
        """`named` is what stands in the proxy's header, each time that it is there, `remote` whom it came from."""
        if self.is_open:
            return Access(AccessRole.EDITOR, "open", is_login=False)
        if self.proxy and any(named) and self.trusted_proxies.has(remote):
            return _let_in(self.proxy, named)
        found = self.signer.access(cookie, now) if cookie else None
        return None if found and found.session_id in self.ended_sessions else found

    def access_of_token(self, token: str) -> Access | None:
        role = self.tokens.role_of(token)
        return Access(role, "token", is_login=False, is_token=True) if role else None


def authentication_of(settings: ConsoleSettings) -> Authentication:
    """OpenToAllError; ValueError where an address of the proxy is none, or a token is too short."""
    password = settings.console_password.get_secret_value()
    viewer = settings.console_viewer_password.get_secret_value()
    header, editors = settings.console_proxy_header, frozenset(settings.console_proxy_editors)
    auth = Authentication(
        password, viewer, ProxyLogin(header, editors) if header else None,
        TrustedProxies(tuple(ipaddress.ip_network(each) for each in settings.console_proxy_from)),
        ApiTokens(_plain(settings.console_api_tokens), _plain(settings.console_viewer_api_tokens)),
        frozenset(name.casefold() for name in settings.console_names),
        Signer(_key(password, viewer, *_plain(settings.encryption_keys))),
    )  # fmt: skip
    if auth.is_open and settings.console_host not in LOCAL_NAMES:
        raise UnprotectedConsoleError(
            f"without LEADSTREAM_CONSOLE_PASSWORD the console listens on 127.0.0.1 only, not on {settings.console_host}"
        )
    return auth


def _key(*known: str) -> bytes:
    """Several processes share it; a changed password ends all sessions. It is as slow to guess as a password's hash:
    who has a session of a viewer could else try the editors' password against its signature."""
    return stretched("\0".join(known)) if any(known) else secrets.token_bytes(32)


def _let_in(proxy: ProxyLogin, named: Sequence[str]) -> Access | None:
    """Two names are one that the browser sent and one of the proxy's: nobody knows which is which."""
    if len(named) != 1 or not named[0].isprintable():
        return None
    (name,) = named
    role = AccessRole.EDITOR if name in proxy.editors else AccessRole.VIEWER
    return Access(role, f"proxy:{name}", name, is_login=False)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """One of IPv4 is that also where a socket of IPv6 tells it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _plain(keys: Sequence[SecretStr]) -> list[str]:
    return [key.get_secret_value() for key in keys]
