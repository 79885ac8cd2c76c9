"""TLS at the receiver's own door, for where no proxy ends it, and Meta's client certificate (FACEBOOK.md §1.6)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable

import structlog
from aiohttp import web

from shared.runtime.settings import ReceiverSettings

RETRY_SECONDS = 0.5
"""Until the next attempt to take a connection, where this process may open no more files."""

log = structlog.get_logger()


class TlsError(Exception):
    """The settings do not make a door: a file that is missing or wrong, or one without the other."""


def tls_context(settings: ReceiverSettings) -> ssl.SSLContext | None:
    """None where TLS is off. TLS 1.2 or newer.

    With `receiver_client_ca` a client may present a certificate: one that this CA did not sign ends the handshake, and
    none at all is left to `certificate_check`, because probes have none.
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


class TlsListener:
    """Takes connections and shakes hands.

    A server of asyncio's tells nobody of a connection before its hands are shaken: whoever never does could have any
    number. So this one asks `admit_connection(shaking_hands)` when a client has connected, and closes it on a no.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        make_protocol: Callable[[], asyncio.Protocol],
        admit_connection: Callable[[int], bool],
        handshake_seconds: float,
        shutdown_seconds: float,
    ) -> None:
        self._context = context
        self._make_protocol = make_protocol
        self._takes_one_more = admit_connection
        self._handshake_seconds = handshake_seconds
        self._shutdown_seconds = shutdown_seconds
        self._handshakes: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self, bound: socket.socket, backlog: int) -> AsyncIterator[None]:
        """Listens in the block. Behind it nobody who has not shaken hands is waited for."""
        with bound:
            bound.setblocking(False)
            bound.listen(backlog)
            accepting = asyncio.create_task(self._accept(bound))
            try:
                yield
            finally:
                for task in (accepting, *self._handshakes):
                    task.cancel()
                await asyncio.wait({accepting, *self._handshakes})

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("connection_not_taken", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if self._takes_one_more(len(self._handshakes)):
                task = loop.create_task(self._shake_hands(client))
                self._handshakes.add(task)
                task.add_done_callback(self._handshakes.discard)
            else:
                client.close()
            await asyncio.sleep(0)  # there may be another one at once, and those who are connected wait

    async def _shake_hands(self, client: socket.socket) -> None:
        """A client that does it wrongly or never is nobody's failure."""
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make_protocol, client, ssl=self._context, ssl_handshake_timeout=self._handshake_seconds,
                ssl_shutdown_timeout=self._shutdown_seconds,
            )  # fmt: skip


def certificate_check(name: str) -> Callable[[web.BaseRequest], bool]:
    """Whether a request came over a connection whose verified certificate has `name` as its subject's common name."""

    def check(request: web.BaseRequest) -> bool:
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport else None
        parts = (part for group in (certificate or {}).get("subject", ()) for part in group)
        return ("commonName", name) in parts

    return check
