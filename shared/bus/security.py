"""TLS and SASL for Kafka: the settings as options of aiokafka's clients."""

from __future__ import annotations

import asyncio
import shlex
import ssl
from asyncio.subprocess import DEVNULL, PIPE
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from shared.contract.failures import WrongSettingsError
from shared.runtime.settings import KafkaSettings

COMMAND_VARIABLE = "LEADSTREAM_KAFKA_SASL_TOKEN_COMMAND"
TOKEN_SECONDS = 10.0
"""Time limit of the command that prints a token."""


class NoTokenError(KafkaError):
    """The token command failed. Clients try again, as after any failed connection."""

    retriable = True


def security_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return aiokafka's keyword arguments for TLS and SASL; they contain the password.

    WrongSettingsError when a setting is missing, has no effect with the protocol, or names a file that cannot be used.
    """
    _check_effect(settings)
    options: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
    if _has_tls(settings):
        options["ssl_context"] = _ssl_context(settings)
    if _has_sasl(settings):
        options |= _sasl_options(settings)
    return options


def _has_tls(settings: KafkaSettings) -> bool:
    return settings.kafka_security_protocol.endswith("SSL")


def _has_sasl(settings: KafkaSettings) -> bool:
    return settings.kafka_security_protocol.startswith("SASL")


def _check_effect(settings: KafkaSettings) -> None:
    """Refuse settings without effect: a password or a CA that is ignored means that the protocol was forgotten."""
    set_names = [name for name in settings.model_fields_set if _is_set(getattr(settings, name))]
    for prefix, has_effect, protocol in (
        ("kafka_ssl_", _has_tls(settings), "SSL or SASL_SSL"),
        ("kafka_sasl_", _has_sasl(settings), "SASL_SSL"),
    ):
        ineffective = sorted(_variable(name) for name in set_names if name.startswith(prefix))
        if ineffective and not has_effect:
            raise WrongSettingsError(f"{ineffective[0]} needs LEADSTREAM_KAFKA_SECURITY_PROTOCOL={protocol}")


def _is_set(value: Any) -> bool:
    return bool(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


def _variable(name: str) -> str:
    return f"LEADSTREAM_{name.upper()}"


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    """Return a context that verifies the broker's certificate and host name."""
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_file or None)
    except (OSError, ValueError) as error:
        raise WrongSettingsError(f"LEADSTREAM_KAFKA_SSL_CA_FILE cannot be used: {error}") from None
    certificate, key = settings.kafka_ssl_certificate_file, settings.kafka_ssl_key_file
    if key and not certificate:
        raise WrongSettingsError("LEADSTREAM_KAFKA_SSL_KEY_FILE needs LEADSTREAM_KAFKA_SSL_CERTIFICATE_FILE")
    if certificate:
        try:
            context.load_cert_chain(certificate, key or None, settings.kafka_ssl_key_password.get_secret_value)
        except (OSError, ValueError) as error:
            raise WrongSettingsError(
                f"LEADSTREAM_KAFKA_SSL_CERTIFICATE_FILE, its key or the key's password cannot be used: {error}"
            ) from None
    return context


def _sasl_options(settings: KafkaSettings) -> dict[str, Any]:
    mechanism, password = settings.kafka_sasl_mechanism, settings.kafka_sasl_password.get_secret_value()
    if mechanism == "OAUTHBEARER":
        return {"sasl_mechanism": mechanism, "sasl_oauth_token_provider": _token_command(settings)}
    if not settings.kafka_sasl_username or not password:
        raise WrongSettingsError(f"{mechanism} needs LEADSTREAM_KAFKA_SASL_USERNAME and LEADSTREAM_KAFKA_SASL_PASSWORD")
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": password,
    }


def _token_command(settings: KafkaSettings) -> TokenCommand:
    try:
        arguments = shlex.split(settings.kafka_sasl_token_command)
    except ValueError as error:
        raise WrongSettingsError(f"{COMMAND_VARIABLE} is not a command: {error}") from None
    if not arguments:
        raise WrongSettingsError(f"{settings.kafka_sasl_mechanism} needs {COMMAND_VARIABLE}")
    return TokenCommand(arguments)


class TokenCommand(AbstractTokenProvider):
    """Gets each connection's token from the standard output of a command."""

    def __init__(self, arguments: list[str]) -> None:
        self._arguments = arguments

    async def token(self) -> str:
        """NoTokenError when the command fails, prints nothing or takes longer than TOKEN_SECONDS."""
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                output = await self._output()
        except TimeoutError:
            raise NoTokenError(f"{COMMAND_VARIABLE} failed: it took longer than {TOKEN_SECONDS:.0f} s") from None
        except OSError as error:
            raise NoTokenError(f"{COMMAND_VARIABLE} failed: {error.strerror}") from None
        if not (token := output.decode(errors="replace").strip()):
            raise NoTokenError(f"{COMMAND_VARIABLE} failed: it printed no token")
        return token

    async def _output(self) -> bytes:
        process = await asyncio.create_subprocess_exec(*self._arguments, stdin=DEVNULL, stdout=PIPE)
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise NoTokenError(f"{COMMAND_VARIABLE} failed: it ended with status {process.returncode}")
        return output
