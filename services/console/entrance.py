"""Who may come in, and as what: by a password, by a proxy's word, or, on this machine alone, everybody. Pure."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass

from services.console.passwords import is_right
from services.console.sessions import Access, Role, Signer
from shared.settings import ConsoleSettings

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class OpenToAllError(ValueError):
    """Without a password, nobody but this machine may reach the console."""


@dataclass(frozen=True, slots=True)
class Proxy:
    header: str
    addresses: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    editors: frozenset[str]

    def is_at(self, remote: str | None) -> bool:
        try:
            address = ipaddress.ip_address(remote or "")
        except ValueError:
            return False
        return any(address in network for network in self.addresses)


@dataclass(frozen=True, slots=True)
class Entrance:
    password: str
    viewer_password: str
    proxy: Proxy | None
    signer: Signer

    @property
    def is_open(self) -> bool:
        """Nobody is asked anything."""
        return not (self.password or self.viewer_password or self.proxy)

    @property
    def has_login(self) -> bool:
        return bool(self.password or self.viewer_password)

    def role_of(self, password: str) -> Role | None:
        """Both are looked at, so that the time tells nothing of which there are."""
        found = {
            Role.VIEWER: is_right(password, self.viewer_password),
            Role.EDITOR: is_right(password, self.password),
        }
        return next((role for role in (Role.EDITOR, Role.VIEWER) if found[role]), None)

    def access(self, cookie: str, named: str, remote: str | None, now: float) -> Access | None:
        """`named` is what stands in the proxy's header, `remote` the address that the request came from."""
        if self.is_open:
            return Access(Role.EDITOR, "open", is_login=False)
        if self.proxy and named and self.proxy.is_at(remote):
            role = Role.EDITOR if named in self.proxy.editors else Role.VIEWER
            return Access(role, f"proxy:{named}", named, is_login=False)
        return self.signer.access(cookie, now) if cookie else None


def entrance_of(settings: ConsoleSettings) -> Entrance:
    """OpenToAllError; ValueError where an address of the proxy is none."""
    password = settings.console_password.get_secret_value()
    viewer = settings.console_viewer_password.get_secret_value()
    proxy = _proxy(settings) if settings.console_proxy_header else None
    key = (password, viewer) if password or viewer else (secrets.token_urlsafe(32),)
    entrance = Entrance(password, viewer, proxy, Signer(*key))
    if entrance.is_open and settings.console_host not in LOCAL_NAMES:
        raise OpenToAllError(
            f"without LEADSTREAM_CONSOLE_PASSWORD the console listens on 127.0.0.1 only, not on {settings.console_host}"
        )
    return entrance


def _proxy(settings: ConsoleSettings) -> Proxy:
    networks = tuple(ipaddress.ip_network(each) for each in settings.console_proxy_from)
    return Proxy(settings.console_proxy_header, networks, frozenset(settings.console_proxy_editors))
