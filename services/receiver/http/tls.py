"""TLS for deployments without a proxy that ends it, and Meta's client certificate.

Meta can present a certificate with a known common name (docs/facebook.md, "Webhook transport").
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog
from aiohttp import web

from shared.runtime.settings import ReceiverSettings

CHANGE_CHECK_SECONDS = 10.0
"""How often the files are compared with those that were loaded."""
RETRY_SECONDS = 0.5
"""The wait until the next attempt to accept a connection when this process can open no more files."""

FilesState = list[tuple[int, int, int] | None]
"""For each file its time of change, inode and size, of which one differs when it is written; None without a file."""

log = structlog.get_logger()


class TlsError(Exception):
    """The TLS settings cannot be used: a file is missing or invalid, or one of a pair is not set."""


def tls_context(settings: ReceiverSettings) -> ssl.SSLContext | None:
    """Return the context for TLS 1.2 or newer, or None when TLS is off. TlsError when the settings cannot be used.

    With `receiver_client_ca` a client may present a certificate. One that this CA did not sign ends the handshake.
    Clients without one are left to `certificate_check`, because probes have none.
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
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file is trusted, also when it is no root's
    except (OSError, ValueError) as error:
        raise TlsError(f"TLS certificate, key or client CA cannot be used: {error}") from error
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")


class TlsFiles:
    """The TLS context of the settings' files. `context` is for new connections; those that are open keep theirs."""

    def __init__(self, settings: ReceiverSettings, context: ssl.SSLContext, state: FilesState) -> None:
        self._settings = settings
        self._state = state
        self.context = context

    @contextlib.asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Load the files again on SIGHUP and when they have changed, within the block."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        checking = loop.create_task(self._reload_on_change())
        try:
            yield
        finally:
            checking.cancel()
            loop.remove_signal_handler(signal.SIGHUP)

    async def _reload_on_change(self) -> None:
        while True:
            await asyncio.sleep(CHANGE_CHECK_SECONDS)
            if _files_state(self._settings) != self._state:
                self.reload()

    def reload(self) -> None:
        """Keep the present context when the files cannot be used, as when only one of a pair is written yet."""
        self._state = _files_state(self._settings)
        try:
            self.context = tls_context(self._settings) or self.context
        except TlsError as error:
            log.warning("tls_not_reloaded", error=str(error))
        else:
            log.info("tls_reloaded")


def tls_files(settings: ReceiverSettings) -> TlsFiles | None:
    """Return None when TLS is off. TlsError when the settings cannot be used."""
    state = _files_state(settings)  # first: a file that changes from now on is loaded again
    context = tls_context(settings)
    return TlsFiles(settings, context, state) if context else None


def _files_state(settings: ReceiverSettings) -> FilesState:
    paths = settings.receiver_tls_certificate, settings.receiver_tls_key, settings.receiver_client_ca
    return [_file_state(Path(path)) for path in paths if path]


def _file_state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class TlsListener:
    """Accepts connections and performs TLS handshakes.

    An asyncio server reports a connection only after its handshake, so clients that never complete one could open any
    number. This listener calls `admit_connection(handshakes)` for each new client, and closes it on False.
    """

    def __init__(
        self,
        files: TlsFiles,
        make_protocol: Callable[[], asyncio.Protocol],
        admit_connection: Callable[[int], bool],
        handshake_seconds: float,
        shutdown_seconds: float,
    ) -> None:
        self._files = files
        self._make_protocol = make_protocol
        self._takes_one_more = admit_connection
        self._handshake_seconds = handshake_seconds
        self._shutdown_seconds = shutdown_seconds
        self._handshakes: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self, bound: socket.socket, backlog: int) -> AsyncIterator[None]:
        """Listen within the block. Its end cancels handshakes that are not complete."""
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
                task = loop.create_task(self._handshake(client))
                self._handshakes.add(task)
                task.add_done_callback(self._handshakes.discard)
            else:
                client.close()
            await asyncio.sleep(0)  # let connected clients proceed when many connect at once

    async def _handshake(self, client: socket.socket) -> None:
        """Perform one handshake. A client that fails or abandons it is not an error of ours."""
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make_protocol, client, ssl=self._files.context, ssl_handshake_timeout=self._handshake_seconds,
                ssl_shutdown_timeout=self._shutdown_seconds,
            )  # fmt: skip


def certificate_check(name: str) -> Callable[[web.BaseRequest], bool]:
    """Return a check that a request's connection has a verified certificate with the common name `name`."""

    def check(request: web.BaseRequest) -> bool:
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport else None
        parts = (part for group in (certificate or {}).get("subject", ()) for part in group)
        return ("commonName", name) in parts

    return check
