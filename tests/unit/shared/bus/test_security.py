"""The settings of TLS and SASL as options of the Kafka clients."""

from __future__ import annotations

import ast
import ssl
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from deploy.local.certificates import Authority
from shared.bus import security
from shared.bus.connection import kafka_connection
from shared.bus.security import NoTokenError, TokenCommand, security_options
from shared.contract.failures import WrongSettingsError
from shared.runtime.settings import KafkaSettings
from tests.support.servers import ROOT

CLIENTS = {"AIOKafkaProducer", "AIOKafkaConsumer", "AIOKafkaAdminClient"}
SASL: dict[str, Any] = {
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_username": "app",
    "kafka_sasl_password": SecretStr("secret"),
}
OAUTH = {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def options(**settings: Any) -> dict[str, Any]:
    return security_options(KafkaSettings(**settings))


def test_every_client_of_the_room_gets_the_options_of_the_connection() -> None:
    found = 0
    for path in (ROOT / "shared" / "bus").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLIENTS:
                found += 1
                spread = [ast.unparse(each.value) for each in node.keywords if each.arg is None]
                assert spread == ["kafka.options"], f"{path.name}:{node.lineno}"
    assert found >= 5


def test_without_settings_the_connection_is_plain() -> None:
    assert options() == {"security_protocol": "PLAINTEXT"}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_user_and_password_are_passed_with_their_mechanism(mechanism: str) -> None:
    found = options(**SASL, kafka_sasl_mechanism=mechanism)
    assert found["sasl_mechanism"] == mechanism
    assert (found["sasl_plain_username"], found["sasl_plain_password"]) == ("app", "secret")


def test_the_brokers_certificate_and_host_name_are_verified(authority: Authority) -> None:
    context: ssl.SSLContext = options(kafka_security_protocol="SSL", kafka_ssl_ca_file=authority.certificate)[
        "ssl_context"
    ]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1, "only the CA of the settings is trusted"


def test_an_encrypted_key_is_read_with_its_password(authority: Authority) -> None:
    certificate, key = authority.sign("app", password=b"of the key")
    files = {"kafka_ssl_certificate_file": certificate, "kafka_ssl_key_file": key}
    assert "ssl_context" in options(
        kafka_security_protocol="SSL", **files, kafka_ssl_key_password=SecretStr("of the key")
    )
    with pytest.raises(WrongSettingsError, match="the key's password cannot be used"):
        options(kafka_security_protocol="SSL", **files, kafka_ssl_key_password=SecretStr("another"))
    with pytest.raises(WrongSettingsError, match="the key's password cannot be used"):
        options(kafka_security_protocol="SSL", **files)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kafka_security_protocol": "SASL_SSL"}, "PLAIN needs LEADSTREAM_KAFKA_SASL_USERNAME and"),
        ({**SASL, "kafka_sasl_password": SecretStr("")}, "PLAIN needs LEADSTREAM_KAFKA_SASL_USERNAME and"),
        (OAUTH, "OAUTHBEARER needs LEADSTREAM_KAFKA_SASL_TOKEN_COMMAND"),
        ({**OAUTH, "kafka_sasl_token_command": "print 'token"}, "LEADSTREAM_KAFKA_SASL_TOKEN_COMMAND is not a command"),
        ({"kafka_sasl_password": SecretStr("x")}, "SASL_PASSWORD needs LEADSTREAM_KAFKA_SECURITY_PROTOCOL=SASL_SSL"),
        ({"kafka_ssl_ca_file": "/ca.pem"}, "SSL_CA_FILE needs LEADSTREAM_KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL"),
        ({**SASL, "kafka_ssl_ca_file": "/nothing.pem"}, "LEADSTREAM_KAFKA_SSL_CA_FILE cannot be used"),
        ({**SASL, "kafka_ssl_key_file": "/key.pem"}, "SSL_KEY_FILE needs LEADSTREAM_KAFKA_SSL_CERTIFICATE_FILE"),
        ({**SASL, "kafka_ssl_certificate_file": "/nothing.pem"}, "LEADSTREAM_KAFKA_SSL_CERTIFICATE_FILE, its key"),
    ],
)
def test_settings_that_cannot_work_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongSettingsError, match=message):
        options(**settings)


def test_a_connection_does_not_show_its_password() -> None:
    settings = KafkaSettings(**SASL, kafka_ssl_key_password=SecretStr("of the key"))
    for shown in (repr(kafka_connection(settings)), repr(settings)):
        assert "secret" not in shown.replace("SecretStr", "")
        assert "of the key" not in shown


async def test_a_token_is_what_the_command_prints() -> None:
    assert await TokenCommand(["printf", "\n of-%s \n", "today"]).token() == "of-today"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["false"], "ended with status 1"),
        (["true"], "printed no token"),
        (["/nothing/here"], "No such file"),
        (["sleep", "600"], "took longer"),
    ],
)
async def test_a_command_without_a_token_is_an_error_that_clients_retry(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "TOKEN_SECONDS", 0.3)
    with pytest.raises(NoTokenError, match=message) as raised:
        await TokenCommand(arguments).token()
    assert raised.value.retriable
