"""Who may come in."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from services.console.auth.authentication import Authentication, UnprotectedConsoleError, authentication_of
from services.console.auth.login import inner_path
from services.console.auth.login_throttle import MAX_FAILURES, MAX_FAILURES_OF_ALL, WINDOW_SECONDS, LoginThrottle
from services.console.auth.passwords import hashed, is_right
from services.console.auth.sessions import LIFETIME_SECONDS, Access, AccessRole, Signer
from shared.runtime.settings import ConsoleSettings

NOW = 1_800_000_000.0


def entrance(**settings: object) -> Authentication:
    values: dict[str, object] = {"console_host": "127.0.0.1", **settings}
    return authentication_of(ConsoleSettings.model_validate(values))


def guarded() -> Authentication:
    return entrance(console_password=SecretStr("edit"), console_viewer_password=SecretStr("look"))


def test_without_a_password_this_machine_alone_may_edit() -> None:
    access = entrance().access("", [], "127.0.0.1", NOW)
    assert access is not None
    assert access.may_edit


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4"])
def test_without_a_password_no_other_address_is_listened_on(host: str) -> None:
    with pytest.raises(UnprotectedConsoleError, match="without LEADSTREAM_CONSOLE_PASSWORD"):
        entrance(console_host=host)


def test_with_a_password_any_address_may_be_listened_on() -> None:
    assert not entrance(console_host="0.0.0.0", console_password=SecretStr("edit")).is_open


def test_each_password_has_its_role() -> None:
    assert guarded().role_of("edit") is AccessRole.EDITOR
    assert guarded().role_of("look") is AccessRole.VIEWER
    assert guarded().role_of("wrong") is None
    assert guarded().role_of("") is None


def test_a_password_that_is_not_set_is_nobodys() -> None:
    assert entrance(console_password=SecretStr("edit")).role_of("") is None


def test_a_password_may_be_set_as_its_hash() -> None:
    stored = hashed("öffne dich")
    assert "dich" not in stored
    assert is_right("öffne dich", stored)
    assert not is_right("öffne Dich", stored)
    assert hashed("öffne dich") != stored


def test_a_session_lets_in_until_its_time_is_over() -> None:
    door = guarded()
    cookie = door.signer.session(AccessRole.VIEWER, NOW)
    access = door.access(cookie, [], "10.0.0.1", NOW + LIFETIME_SECONDS - 1)
    assert access is not None
    assert not access.may_edit
    assert door.access(cookie, [], "10.0.0.1", NOW + LIFETIME_SECONDS + 1) is None


@pytest.mark.parametrize("cookie", ["", ".", "x", "e30=.x", "\udce9.x", "a.b.c"])
def test_what_was_not_signed_here_lets_nobody_in(cookie: str) -> None:
    assert guarded().access(cookie, [], "10.0.0.1", NOW) is None


def test_a_session_cannot_be_made_into_an_editors() -> None:
    viewer = guarded().signer.session(AccessRole.VIEWER, NOW)
    editor = Signer(b"another key").session(AccessRole.EDITOR, NOW)
    body, signature = editor.split(".")[0], viewer.split(".")[1]
    assert guarded().access(f"{body}.{signature}", [], "10.0.0.1", NOW) is None


def test_another_password_ends_all_sessions() -> None:
    cookie = guarded().signer.session(AccessRole.EDITOR, NOW)
    assert entrance(console_password=SecretStr("other")).access(cookie, [], "10.0.0.1", NOW) is None


def test_a_token_is_of_one_session_alone() -> None:
    signer = guarded().signer
    mine, other = Access(AccessRole.EDITOR, "mine"), Access(AccessRole.EDITOR, "other")
    assert signer.is_csrf(signer.csrf(mine), mine)
    assert not signer.is_csrf(signer.csrf(other), mine)
    assert not signer.is_csrf("", mine)


def test_a_proxy_names_who_it_has_let_in() -> None:
    door = entrance(console_proxy_header="X-User", console_proxy_editors="ana", console_proxy_from="10.1.0.0/16")
    ana, ben = door.access("", ["ana"], "10.1.2.3", NOW), door.access("", ["ben"], "10.1.2.3", NOW)
    assert ana is not None
    assert ben is not None
    assert (ana.role, ben.role) == (AccessRole.EDITOR, AccessRole.VIEWER)


def test_another_machine_is_not_believed_to_be_the_proxy() -> None:
    door = entrance(console_proxy_header="X-User", console_proxy_editors="ana", console_proxy_from="10.1.0.0/16")
    for remote in ("10.2.0.1", "127.0.0.1", None, ""):
        assert door.access("", ["ana"], remote, NOW) is None


@pytest.mark.parametrize("named", [["ana", "ben"], ["ben", "ana"], ["an\udce9a"], ["ana\n"]])
def test_a_name_that_the_browser_may_have_sent_itself_lets_nobody_in(named: list[str]) -> None:
    door = entrance(console_proxy_header="X-User", console_proxy_editors="ana", console_proxy_from="10.1.0.0/16")
    assert door.access("", named, "10.1.2.3", NOW) is None


def test_a_proxy_is_known_also_where_a_socket_of_ipv6_tells_its_address() -> None:
    door = entrance(console_proxy_header="X-User", console_proxy_from="10.1.0.0/16")
    assert door.access("", ["ana"], "::ffff:10.1.2.3", NOW) is not None


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
def test_who_asks_is_whom_the_last_of_our_proxies_names(remote: str, forwarded_for: str, client: str) -> None:
    assert entrance(console_proxy_from="10.1.0.0/16").trusted_proxies.client(remote, forwarded_for) == client


def test_a_viewer_cannot_try_the_editors_password_against_a_sessions_signature_at_the_speed_of_a_hash() -> None:
    cookie = guarded().signer.session(AccessRole.VIEWER, NOW)
    for guess in ("leadstream console\0edit\0look", "edit\0look", "edit"):
        assert Signer(hashlib.sha256(guess.encode()).digest()).access(cookie, NOW) is None
        assert Signer(guess.encode()).access(cookie, NOW) is None


def test_several_consoles_behind_a_proxy_take_each_others_forms() -> None:
    key, who = Fernet.generate_key().decode(), Access(AccessRole.EDITOR, "proxy:ana", "ana")
    one, other = (entrance(console_proxy_header="X-User", encryption_keys=key) for _ in range(2))
    assert other.signer.is_csrf(one.signer.csrf(who), who)


def test_a_session_that_was_ended_lets_nobody_in_who_has_kept_its_cookie() -> None:
    door = guarded()
    cookie = door.signer.session(AccessRole.EDITOR, NOW)
    access = door.access(cookie, [], "10.0.0.1", NOW)
    assert access is not None
    door.ended_sessions.add(access.session_id, NOW)
    assert door.access(cookie, [], "10.0.0.1", NOW) is None


def test_what_was_signed_as_a_message_is_no_session() -> None:
    fields: dict[str, object] = {"role": "editor", "id": "x", "until": int(NOW) + 99}
    assert guarded().access(guarded().signer.signed(fields), [], "10.0.0.1", NOW) is None


def test_each_token_of_a_program_has_its_role() -> None:
    door = entrance(console_api_tokens=f"{'e' * 32},{'f' * 32}", console_viewer_api_tokens="v" * 32)
    roles = [each and each.role for each in map(door.access_of_token, ("f" * 32, "v" * 32, "x" * 32, "", "\udce9"))]
    assert roles == [AccessRole.EDITOR, AccessRole.VIEWER, None, None, None]


def test_a_token_that_could_be_guessed_is_refused_and_not_told() -> None:
    with pytest.raises(ValueError, match="32 characters") as told:
        entrance(console_api_tokens="secret")
    assert "secret" not in str(told.value)


def test_an_address_that_failed_too_often_waits_and_others_do_not() -> None:
    throttle = LoginThrottle()
    for _ in range(MAX_FAILURES):
        assert throttle.wait_seconds("a", NOW) == 0
        throttle.failed("a", NOW)
    assert throttle.wait_seconds("a", NOW + 1) == pytest.approx(WINDOW_SECONDS - 1)
    assert throttle.wait_seconds("b", NOW + 1) == 0
    assert throttle.wait_seconds("a", NOW + WINDOW_SECONDS) == 0


def test_while_many_addresses_guess_each_has_one_try_and_none_shuts_out_another() -> None:
    throttle = LoginThrottle()
    for number in range(MAX_FAILURES_OF_ALL):
        throttle.failed(str(number), NOW)
    assert throttle.wait_seconds("0", NOW) > 0
    assert throttle.wait_seconds("new", NOW) == 0
    assert throttle.wait_seconds("0", NOW + WINDOW_SECONDS) == 0


def test_all_addresses_of_one_network_of_ipv6_are_one() -> None:
    throttle = LoginThrottle()
    for number in range(MAX_FAILURES):
        throttle.failed(f"2001:db8:1:2::{number}", NOW)
    assert throttle.wait_seconds("2001:db8:1:2:ffff::1", NOW) > 0
    assert throttle.wait_seconds("2001:db8:1:3::1", NOW) == 0


def test_who_got_in_begins_anew() -> None:
    throttle = LoginThrottle()
    for _ in range(MAX_FAILURES):
        throttle.failed("a", NOW)
    throttle.succeeded("a")
    assert throttle.wait_seconds("a", NOW) == 0


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "", "/a\nb"]
)
def test_after_signing_in_nobody_is_sent_to_another_host(elsewhere: str) -> None:
    assert inner_path(elsewhere) == "/"


def test_after_signing_in_one_is_where_one_wanted_to_be() -> None:
    assert inner_path("/contacts?q=maria+santos") == "/contacts?q=maria+santos"
