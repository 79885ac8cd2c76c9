"""The receiver's connections: their number, their timeouts, and the responses to what is not HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http import RawRequestMessage

from services.receiver.http.body import BodyReader
from services.receiver.http.endpoints import TRACE, Handler
from services.receiver.http.responses import Responses
from services.receiver.http.tls import TlsFiles, TlsListener
from services.receiver.publish.records import request_id
from shared.contract.failures import UnreachableError
from shared.runtime.logging import without_message
from shared.runtime.metrics import ReceiverMetrics

BACKLOG = 1024
OTHER_FILES = 128
"""Open files of a process beside its clients: broker, spool, libraries."""
LINGERING_SECONDS = 1.0
"""How long the rest of a refused body is read and dropped, so that its sender gets the response and not a reset."""
FINAL_BODY_SECONDS, FINISH_SECONDS = 1.0, 5.0
"""When the process stops: the time for unfinished bodies, and for all requests that have begun."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`connections` is the maximum for one process, TLS handshakes included.

    `header_seconds` limits the TLS handshake, and then the first request; `keepalive_seconds` limits the time until the
    next one. `read_seconds` limits a client that does not read its responses, once the socket's buffer is full.
    """

    connections: int
    header_seconds: float
    keepalive_seconds: float
    read_seconds: float


class WebhookServer(web.Server):
    """Makes a `Connection` for each client."""

    def __init__(
        self, handler: Handler, metrics: ReceiverMetrics, limits: ConnectionLimits, *, access_log: bool
    ) -> None:
        access = logging.getLogger("leadstream.access") if access_log else None
        super().__init__(handler)
        self._options: dict[str, Any] = {
            "keepalive_timeout": limits.keepalive_seconds,
            "lingering_time": LINGERING_SECONDS,
            "auto_decompress": False,  # the signature is over the bytes sent, and no body can grow in memory
            "access_log": access,
            "access_log_class": AccessLog,
        }
        self.limits = limits
        responses = Responses(metrics.answers)
        self.invalid = responses.constant(400, "not an HTTP request")
        self.failed = responses.constant(500, "internal error")
        self._refused = metrics.refused_connections

    def admit_connection(self, handshakes: int = 0) -> bool:
        """Return whether another connection may open beside those there are and `handshakes`; count it if not."""
        if len(self._connections) + handshakes < self.limits.connections:
            return True
        self._refused.inc()
        return False

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._options)


class Connection(web.RequestHandler):
    """One client. aiohttp itself closes it when the next request does not arrive within the keep-alive time."""

    __slots__ = ("_first_request_timer", "_server", "_unread_timer")

    def __init__(self, server: WebhookServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._first_request_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._server.admit_connection():
            self._force_close = True
            cast(asyncio.Transport, transport).abort()
            return
        super().connection_made(transport)
        self._first_request_timer = self._loop.call_later(self._server.limits.header_seconds, self._close_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in (self._first_request_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None:
            self._unread_timer = self._loop.call_later(self._server.limits.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread_timer is not None:
            self._unread_timer.cancel()

    def _close_if_silent(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._current_request is not None and self._messages:
            self._fail_broken_body(self._current_request)

    def _fail_broken_body(self, request: web.BaseRequest) -> None:
        """End the request's body with an error: aiohttp queues it as a next request when it cannot parse it."""
        is_error = not isinstance(self._messages[-1][0], RawRequestMessage)
        if is_error and not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError("broken"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        """Respond to what is not HTTP (400), and to an error that the handler should have caught (500)."""
        if request.writer.output_size > 0:
            raise ConnectionError("a response has been started")
        if status != 400:
            log.error("connection_failed", status=status, **(without_message(exc) if exc else {}))
        return (self._server.invalid if status == 400 else self._server.failed).closing()

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002
        """Log without aiohttp's messages, which quote the request. A broken body is not our failure."""
        error = kw.get("exc_info")
        if not isinstance(error, web.RequestPayloadError):
            log.error("connection_failed", **(without_message(error) if isinstance(error, BaseException) else {}))


class AccessLog(AbstractAccessLogger):
    """Logs one line a request. The query is left out, because it contains the verify token."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        trace = request.get(TRACE)
        log.info(
            "request",
            method=request.method,
            path=request.path[:200],
            status=response.status,
            milliseconds=round(time * 1000, 1),
            bytes=response.content_length,
            request_id=request_id(trace) if trace else None,
        )


def bind_for_workers(host: str, port: int) -> socket.socket:
    """Return a socket that only our workers share. UnreachableError when another process listens at the address."""
    bind(host, port, shared=False).close()
    return bind(host, port, shared=True)


def bind(host: str, port: int, *, shared: bool) -> socket.socket:
    """Return a socket at the address, not yet listening. With `shared` other processes may listen there as well.

    UnreachableError when the address is in use or does not belong to this machine.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
        with contextlib.ExitStack() as on_failure:
            bound = on_failure.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind(address)
            on_failure.pop_all()
            return bound
    except OSError as error:
        raise UnreachableError(f"cannot listen on {host}:{port}: {error.strerror}") from error


async def serve(
    server: WebhookServer,
    bodies: BodyReader,
    bound: socket.socket,
    tls: TlsFiles | None,
    stop: asyncio.Event,
    on_listening: Callable[[], None],
) -> None:
    """Serve until `stop`, then finish the requests that have begun in at most `FINISH_SECONDS`."""
    _allow_files(server.limits.connections + OTHER_FILES)
    try:
        async with _accepting(server, bound, tls):
            host, port = bound.getsockname()[:2]
            log.info("receiver_listening", host=host, port=port, tls=tls is not None)
            on_listening()
            await stop.wait()
    finally:
        try:
            bodies.shorten_timeouts(FINAL_BODY_SECONDS)
        finally:
            await _finish(server)


@contextlib.asynccontextmanager
async def _accepting(server: WebhookServer, bound: socket.socket, tls: TlsFiles | None) -> AsyncIterator[None]:
    """Accept connections within the block."""
    if tls is None:
        listening = await asyncio.get_running_loop().create_server(server, sock=bound, backlog=BACKLOG)
        try:
            yield
        finally:
            listening.close()
        return
    listener = TlsListener(tls, server, server.admit_connection, server.limits.header_seconds, LINGERING_SECONDS)
    async with tls.watch(), listener.open(bound, BACKLOG):
        yield


async def _finish(server: WebhookServer) -> None:
    server.pre_shutdown()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FINISH_SECONDS):
            await server.shutdown(FINISH_SECONDS - FINAL_BODY_SECONDS)


def _allow_files(number: int) -> None:
    """Raise this process's limit of open files where that is allowed: often it is 1024, and each client needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
