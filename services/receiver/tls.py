"""TLS at the receiver's own door, for where no proxy ends it, and Meta's client certificate (FACEBOOK.md §1.6)."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from aiohttp import web

from shared.settings import ReceiverSettings


class TlsError(Exception):
    """The settings do not make a door: a file that is missing or wrong, or one without the other."""


def tls_context(settings: ReceiverSettings) -> ssl.SSLContext | None:
    """None where TLS is off. TLS 1.2 or newer.

    With `receiver_client_ca` a client may present a certificate: one that this CA did not sign ends the handshake, and
    none at all is left to `is_client`, because probes have none.
    """
    certificate, key = settings.receiver_tls_certificate, settings.receiver_tls_key
    if bool(certificate) != bool(key):
        raise TlsError("LEADSTREAM_RECEIVER_TLS_CERTIFICATE and LEADSTREAM_RECEIVER_TLS_KEY belong together")
    if not certificate:
        if settings.receiver_client_ca:
            raise TlsError("LEADSTREAM_RECEIVER_CLIENT_CA needs LEADSTREAM_RECEIVER_TLS_CERTIFICATE")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
        if settings.receiver_client_ca:
            context.load_verify_locations(settings.receiver_client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file is trusted, be it a root's or not
    except (OSError, ValueError) as error:
        raise TlsError(f"TLS certificate, key or client CA cannot be used: {error}") from error
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def is_client(name: str) -> Callable[[web.BaseRequest], bool]:
    """Whether a request came over a connection whose verified certificate has `name` as its subject's common name."""

    def check(request: web.BaseRequest) -> bool:
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport else None
        parts = (part for group in (certificate or {}).get("subject", ()) for part in group)
        return ("commonName", name) in parts

    return check
