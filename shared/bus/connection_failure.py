"""Why no broker can be used. aiokafka logs the reason and raises an error without it, so this connects once more."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import IllegalSaslStateError, KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from aiokafka.protocol.metadata import MetadataRequest

from shared.bus.security import COMMAND_VARIABLE, NoTokenError

DIAGNOSIS_SECONDS = 5.0
"""Time limit for finding the reason, all brokers together."""

PROTOCOL = "LEADSTREAM_KAFKA_SECURITY_PROTOCOL"


async def failure_reason(bootstrap_servers: str, security: Mapping[str, Any]) -> str | None:
    """Return one line with the reason of the first broker that gives one; None when none does."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DIAGNOSIS_SECONDS):
            for host, port, _ in collect_hosts(bootstrap_servers, randomize=False):
                if reason := await _reason_of(host, port, security):
                    return f"Kafka at {host}:{port} cannot be used: {reason}"
    return None


async def _reason_of(host: str, port: int, security: Mapping[str, Any]) -> str | None:
    """Return why this broker cannot be used; None when it does not answer, or answers by now."""
    try:
        connection = await create_conn(host, port, **security)
    except (OSError, KafkaError) as error:
        return await _explain(host, port, security, error)
    try:
        metadata = await connection.send(MetadataRequest([]))
    except (OSError, KafkaError) as error:
        return await _explain(host, port, security, error)
    finally:
        connection.close()
    if not metadata.brokers:  # aiokafka 0.14 does not read the refusal, and Kafka 4 answers what is asked after it
        return f"it refuses the token of {COMMAND_VARIABLE}"
    return None


async def _explain(host: str, port: int, security: Mapping[str, Any], error: Exception) -> str | None:
    cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    return _named(cause, security) or await _explain_closed(host, port, security)


def _named(error: Exception, security: Mapping[str, Any]) -> str | None:
    """Return the reason that the broker or TLS gave, None if neither gave one."""
    reason = None
    match error:
        case ssl.SSLCertVerificationError():
            files = "LEADSTREAM_KAFKA_SSL_CA_FILE names the trusted CAs"
            reason = f"its certificate is refused: {error.verify_message}; {files}"
        case ssl.SSLError() if "CERTIFICATE" in str(error.reason):
            reason = f"it requires another client certificate: {error.reason}"
        case SaslAuthenticationFailed():
            reason = f"it refuses the user, password or token: {' '.join(map(str, error.args))}"
        case UnsupportedSaslMechanismError():
            reason = f"it does not offer the SASL mechanism {security['sasl_mechanism']}"
        case IllegalSaslStateError():
            reason = f"it does not use SASL; set {PROTOCOL} to {'SSL' if 'ssl_context' in security else 'PLAINTEXT'}"
        case NoTokenError():
            reason = str(error.args[0])
    return reason


async def _explain_closed(host: str, port: int, security: Mapping[str, Any]) -> str | None:
    """Explain a connection that was refused or closed without a word."""
    speaks_tls = await _speaks_tls(host, port)
    if speaks_tls is None:
        return None
    if speaks_tls and "ssl_context" not in security:
        return f"it speaks TLS; set {PROTOCOL} to SSL or SASL_SSL"
    if not speaks_tls and "ssl_context" in security:
        return f"it does not speak TLS; set {PROTOCOL} to PLAINTEXT or SASL_PLAINTEXT"
    if "sasl_mechanism" not in security:
        return f"it closes the connection without an answer; {PROTOCOL} may have to be a SASL protocol"
    return "it closes the connection without an answer"


async def _speaks_tls(host: str, port: int) -> bool | None:
    """Return whether a TLS handshake succeeds, with any certificate; None when nothing listens."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=anyone)
    except (ssl.SSLError, ConnectionResetError):
        return False
    except OSError:
        return None
    writer.close()
    return True
