"""Passwords, sessions, proxies and API tokens."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from services.console.auth.authentication import Authentication, UnprotectedConsoleError, authentication_of
from services.console.auth.passwords import matches, password_hash
from services.console.auth.sessions import LIFETIME_SECONDS, Access, AccessRole, Signer
from shared.runtime.settings import ConsoleSettings

NOW = 1_800_000_000.0


def configured(**settings: object) -> Authentication:
    values: dict[str, object] = {"console_host": "127.0.0.1", **settings}
    return authentication_of(ConsoleSettings.model_validate(values))


def with_passwords() -> Authentication:
    return configured(console_password=SecretStr("edit"), console_viewer_password=SecretStr("look"))


def test_without_a_password_this_machine_may_edit() -> None:
    access = configured().access("", [], "127.0.0.1", NOW)
    assert access is not None
    assert access.may_edit


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4"])
def test_without_a_password_only_localhost_is_listened_on(host: str) -> None:
    with pytest.raises(UnprotectedConsoleError, match="without LEADSTREAM_CONSOLE_PASSWORD"):
        configured(console_host=host)


def test_with_a_password_any_address_may_be_listened_on() -> None:
    assert not configured(console_host="0.0.0.0", console_password=SecretStr("edit")).is_open


def test_each_password_has_its_role() -> None:
    assert with_passwords().role_of("edit") is AccessRole.EDITOR
    assert with_passwords().role_of("look") is AccessRole.VIEWER
    assert with_passwords().role_of("wrong") is None
    assert with_passwords().role_of("") is None


def test_a_password_that_is_not_set_matches_nothing() -> None:
    assert configured(console_password=SecretStr("edit")).role_of("") is None


def test_a_password_may_be_set_as_its_hash() -> None:
    stored = password_hash("öffne dich")
    assert "dich" not in stored
    assert matches("öffne dich", stored)
    assert not matches("öffne Dich", stored)
    assert password_hash("öffne dich") != stored


def test_a_session_is_valid_until_it_expires() -> None:
    auth = with_passwords()
    cookie = auth.signer.session(AccessRole.VIEWER, NOW)
    access = auth.access(cookie, [], "10.0.0.1", NOW + LIFETIME_SECONDS - 1)
    assert access is not None
    assert not access.may_edit
    assert auth.access(cookie, [], "10.0.0.1", NOW + LIFETIME_SECONDS + 1) is None


@pytest.mark.parametrize("cookie", ["", ".", "x", "e30=.x", "\udce9.x", "a.b.c"])
def test_a_cookie_that_was_not_signed_here_is_refused(cookie: str) -> None:
    assert with_passwords().access(cookie, [], "10.0.0.1", NOW) is None


def test_a_viewers_signature_is_refused_on_an_editors_session() -> None:
    viewer = with_passwords().signer.session(AccessRole.VIEWER, NOW)
    editor = Signer(b"another key").session(AccessRole.EDITOR, NOW)
    body, signature = editor.split(".")[0], viewer.split(".")[1]
    assert with_passwords().access(f"{body}.{signature}", [], "10.0.0.1", NOW) is None


def test_a_changed_password_ends_all_sessions() -> None:
    cookie = with_passwords().signer.session(AccessRole.EDITOR, NOW)
    assert configured(console_password=SecretStr("other")).access(cookie, [], "10.0.0.1", NOW) is None


def test_a_csrf_token_is_valid_for_one_session_only() -> None:
    signer = with_passwords().signer
    mine, other = Access(AccessRole.EDITOR, "mine"), Access(AccessRole.EDITOR, "other")
    assert signer.is_csrf(signer.csrf(mine), mine)
    assert not signer.is_csrf(signer.csrf(other), mine)
    assert not signer.is_csrf("", mine)


def test_the_name_from_a_trusted_proxy_decides_the_role() -> None:
    auth = configured(console_proxy_header="X-User", console_proxy_editors="ana", console_proxy_from="10.1.0.0/16")
    ana, ben = auth.access("", ["ana"], "10.1.2.3", NOW), auth.access("", ["ben"], "10.1.2.3", NOW)
    assert ana is not None
    assert ben is not None
    assert (ana.role, ben.role) == (AccessRole.EDITOR, AccessRole.VIEWER)


def test_a_proxy_header_from_another_machine_is_ignored() -> None:
    auth = configured(console_proxy_header="X-User", console_proxy_editors="ana", console_proxy_from="10.1.0.0/16")
    for remote in ("10.2.0.1", "127.0.0.1", None, ""):
        assert auth.access("", ["ana"], remote, NOW) is None


@pytest.mark.parametrize("names", [["ana", "ben"], ["ben", "ana"], ["an\udce9a"], ["ana\n"]])
def test_a_repeated_or_unprintable_proxy_name_is_refused(names: list[str]) -> None:
    auth = configured(console_proxy_header="X-User", console_proxy_editors="ana", console_proxy_from="10.1.0.0/16")
    assert auth.access("", names, "10.1.2.3", NOW) is None


def test_a_proxy_is_recognised_by_its_ipv4_address_on_an_ipv6_socket() -> None:
    auth = configured(console_proxy_header="X-User", console_proxy_from="10.1.0.0/16")
    assert auth.access("", ["ana"], "::ffff:10.1.2.3", NOW) is not None


@pytest.mark.parametrize(
    ("remote", "forwarded_for", "client"),
    [
        ("10.1.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("10.1.0.1", "203.0.113.9, 10.1.0.2", "203.0.113.9"),
        ("10.1.0.1", "203.0.113.9, unknown", "203.0.113.9"),
        ("10.1.0.1", "", "10.1.0.1"),
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
    ],
)
def test_the_client_is_the_last_address_not_of_a_proxy(remote: str, forwarded_for: str, client: str) -> None:
    assert configured(console_proxy_from="10.1.0.0/16").trusted_proxies.client(remote, forwarded_for) == client


def test_the_signing_key_is_no_plain_hash_of_the_passwords() -> None:
    cookie = with_passwords().signer.session(AccessRole.VIEWER, NOW)
    for guess in ("leadstream console\0edit\0look", "edit\0look", "edit"):
        assert Signer(hashlib.sha256(guess.encode()).digest()).access(cookie, NOW) is None
        assert Signer(guess.encode()).access(cookie, NOW) is None


def test_consoles_with_one_key_accept_each_others_csrf_tokens() -> None:
    key, who = Fernet.generate_key().decode(), Access(AccessRole.EDITOR, "proxy:ana", "ana")
    one, other = (configured(console_proxy_header="X-User", encryption_keys=key) for _ in range(2))
    assert other.signer.is_csrf(one.signer.csrf(who), who)


def test_the_cookie_of_an_ended_session_is_refused() -> None:
    auth = with_passwords()
    cookie = auth.signer.session(AccessRole.EDITOR, NOW)
    access = auth.access(cookie, [], "10.0.0.1", NOW)
    assert access is not None
    auth.ended_sessions.add(access.session_id, NOW)
    assert auth.access(cookie, [], "10.0.0.1", NOW) is None


def test_a_signed_message_is_not_accepted_as_a_session() -> None:
    fields: dict[str, object] = {"role": "editor", "id": "x", "until": int(NOW) + 99}
    assert with_passwords().access(with_passwords().signer.signed(fields), [], "10.0.0.1", NOW) is None


def test_each_api_token_has_its_role() -> None:
    auth = configured(console_api_tokens=f"{'e' * 32},{'f' * 32}", console_viewer_api_tokens="v" * 32)
    roles = [each and each.role for each in map(auth.access_of_token, ("f" * 32, "v" * 32, "x" * 32, "", "\udce9"))]
    assert roles == [AccessRole.EDITOR, AccessRole.VIEWER, None, None, None]


def test_a_short_api_token_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="32 characters") as refused:
        configured(console_api_tokens="secret")
    assert "secret" not in str(refused.value)
