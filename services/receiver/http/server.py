"""The receiver's connections: how many there may be, how long they may say nothing, and what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
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
from services.receiver.http.tls import TlsListener
from services.receiver.publish.records import request_id
from shared.contract.failures import UnreachableError
from shared.runtime.logging import without_message
from shared.runtime.metrics import ReceiverMetrics

BACKLOG = 1024
OTHER_FILES = 128
"""Open files of a process beside its clients: broker, spool, libraries."""
LINGERING_SECONDS = 1.0
"""How long the rest of a refused body is read away, so that its sender reads the answer and not a reset."""
HURRY_SECONDS, FINISH_SECONDS = 1.0, 5.0
"""At the end: what a body that is on its way gets, and what all that was begun gets."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`connections` is for one process, with those that still shake hands over TLS.

    `header_seconds` is for shaking hands, and again for the first request; to the next there are `keepalive_seconds`.
    `read_seconds` is for one who does not read its answers, once they are more than the system takes.
    """

    connections: int
    header_seconds: float
    keepalive_seconds: float
    read_seconds: float


class WebhookServer(web.Server):
    """Makes a `Connection` of each client that connects."""

    def __init__(
        self, handler: Handler, metrics: ReceiverMetrics, limits: ConnectionLimits, *, access_log: bool
    ) -> None:
        access = logging.getLogger("leadstream.access") if access_log else None
        super().__init__(handler)
        self._options: dict[str, Any] = {
            "keepalive_timeout": limits.keepalive_seconds,
            "lingering_time": LINGERING_SECONDS,
            "auto_decompress": False,  # the signature is over what was sent, and nothing can grow here
            "access_log": access,
            "access_log_class": AccessLog,
        }
        self.limits = limits
        answers = Responses(metrics.answers)
        self.invalid, self.failed = answers.constant(400, "this is not HTTP"), answers.constant(500, "it failed")
        self._refused = metrics.refused_connections

    def admit_connection(self, shaking_hands: int = 0) -> bool:
        """Whether there is room for a connection beside these. One that is refused is counted."""
        if len(self._connections) + shaking_hands < self.limits.connections:
            return True
        self._refused.inc()
        return False

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._options)


class Connection(web.RequestHandler):
    """One client. aiohttp closes it itself when its next request has not come within the time for keeping it alive."""

    __slots__ = ("_edge", "_silence", "_unread")

    def __init__(self, edge: WebhookServer, **options: Any) -> None:
        super().__init__(edge, **options)
        self._edge = edge
        self._silence: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._edge.admit_connection():
            self._force_close = True
            cast(asyncio.Transport, transport).abort()
            return
        super().connection_made(transport)
        self._silence = self._loop.call_later(self._edge.limits.header_seconds, self._close_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in (self._silence, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None:
            self._unread = self._loop.call_later(self._edge.limits.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def _close_if_silent(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._current_request is not None and self._messages:
            self._tell_of_broken_body(self._current_request)

    def _tell_of_broken_body(self, request: web.BaseRequest) -> None:
        """aiohttp queues what it could not parse as the next request, even where it is the body of this one."""
        is_error = not isinstance(self._messages[-1][0], RawRequestMessage)
        if is_error and not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError("broken"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what was sent
    ) -> web.StreamResponse:
        """For what is not HTTP (400), and for what the handler should have caught."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has been begun")
        if status != 400:
            log.error("connection_failed", status=status, **(without_message(exc) if exc else {}))
        return (self._edge.invalid if status == 400 else self._edge.failed).closing()

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002
        """aiohttp's own messages say what was sent. A body that is broken is no failure of ours."""
        error = kw.get("exc_info")
        if not isinstance(error, web.RequestPayloadError):
            log.error("connection_failed", **(without_message(error) if isinstance(error, BaseException) else {}))


class AccessLog(AbstractAccessLogger):
    """One line a request. The query is left out: it has the verify token."""

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
    """`bind`, shared with workers of ours, where nobody else listens: they would get a part of what is meant for us."""
    bind(host, port, shared=False).close()
    return bind(host, port, shared=True)


def bind(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket at the address, not yet listening. `shared`: other processes may listen there as well.

    UnreachableError when the address is taken or not this machine's.
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
    edge: WebhookServer,
    bodies: BodyReader,
    bound: socket.socket,
    tls: ssl.SSLContext | None,
    stop: asyncio.Event,
    listening: Callable[[], None],
) -> None:
    """Until `stop`; then takes no more and finishes what it has begun, in at most `FINISH_SECONDS`."""
    _allow_files(edge.limits.connections + OTHER_FILES)
    try:
        async with _accepting(edge, bound, tls):
            host, port = bound.getsockname()[:2]
            log.info("receiver_listening", host=host, port=port, tls=tls is not None)
            listening()
            await stop.wait()
    finally:
        try:
            bodies.shorten_timeouts(HURRY_SECONDS)
        finally:
            await _finish(edge)


@contextlib.asynccontextmanager
async def _accepting(edge: WebhookServer, bound: socket.socket, tls: ssl.SSLContext | None) -> AsyncIterator[None]:
    """Takes connections in the block."""
    if tls is None:
        server = await asyncio.get_running_loop().create_server(edge, sock=bound, backlog=BACKLOG)
        try:
            yield
        finally:
            server.close()
        return
    door = TlsListener(tls, edge, edge.admit_connection, edge.limits.header_seconds, LINGERING_SECONDS)
    async with door.open(bound, BACKLOG):
        yield


async def _finish(edge: WebhookServer) -> None:
    edge.pre_shutdown()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FINISH_SECONDS):
            await edge.shutdown(FINISH_SECONDS - HURRY_SECONDS)


def _allow_files(number: int) -> None:
    """Raises the process's own limit where that is allowed: often it is 1024, and a client takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
