"""The receiver's composition root: signed webhooks in, events on the topic out.

A webhook passes `http/` (server, endpoints, signature), `publish/group_publisher` (which calls `parse/`) and
`publish/publisher` (broker, or spool). `workers` supervises several processes on one port.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import structlog

from services.receiver.http import endpoints
from services.receiver.http.body import BodyReader
from services.receiver.http.responses import Responses
from services.receiver.http.server import ConnectionLimits, WebhookServer, bind, bind_for_workers, serve
from services.receiver.http.tls import TlsFiles, certificate_check
from services.receiver.parse.items import IGNORED_KINDS
from services.receiver.publish.group_publisher import GroupPublisher
from services.receiver.publish.publisher import SpoolingPublisher
from services.receiver.publish.spool import Spool
from services.receiver.publish.spools import adopt, claim_spool, lock_root
from services.receiver.workers import CONNECTED, LISTENING, Lifeline, metrics_folder, supervise
from shared.bus.connection import kafka_connection
from shared.bus.producer import Topics, connect, create_producer
from shared.contract.failures import UnreachableError
from shared.runtime.clock import utc_now
from shared.runtime.metrics import ReceiverMetrics
from shared.runtime.operations import serve_operations
from shared.runtime.service import reduce_garbage_collection, run_service
from shared.runtime.settings import ReceiverSettings

FINAL_DRAIN_SECONDS = 1.5
"""How long a stopping process drains its spool. The rest stays on the disk for the next start."""

log = structlog.get_logger()


def run_receiver(settings: ReceiverSettings, workers: int, lifeline: int | None, tls: TlsFiles | None) -> int:
    """Run as a worker (when `lifeline` is given), as the parent of `workers`, or alone. Returns the exit status."""
    if lifeline is not None:
        to_parent = Lifeline(lifeline)
        return run_service(settings, lambda stop: receive(settings, tls, to_parent, stop))
    root = _spool_root(settings)
    with lock_root(root):
        if workers == 1:
            return run_service(settings, lambda stop: receive(settings, tls, None, stop))
        if tls:  # the workers find changed files by themselves
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with bind_for_workers(settings.receiver_host, settings.receiver_port) as held, metrics_folder(root) as folder:
            port, metrics_port = held.getsockname()[1], settings.metrics_port
            return run_service(settings, lambda stop: supervise(workers, port, metrics_port, folder, stop))


async def receive(
    settings: ReceiverSettings, tls: TlsFiles | None, lifeline: Lifeline | None, stop: asyncio.Event
) -> None:
    """Receive webhooks in this process until `stop`.

    UnreachableError when the spool or the port is not available at the start, or when a broker answers that the topic
    does not exist. While no broker answers, webhooks are spooled.
    """
    report = lifeline.report if lifeline else _no_parent
    reduce_garbage_collection()
    topics, metrics, root = Topics(settings.topic_prefix), ReceiverMetrics(), _spool_root(settings)
    kafka = kafka_connection(settings)
    async with (
        claim_spool(root, settings.spool_max_bytes) as (folder, spool),
        create_producer(kafka) as producer,
    ):
        publisher = SpoolingPublisher(producer, topics, settings.publish_timeout_seconds, spool, metrics, utc_now)
        if lifeline:
            lifeline.watch(publisher.is_writable)
        metrics_port = 0 if lifeline else settings.metrics_port
        operations = serve_operations("receiver", metrics_port, metrics.render, publisher.is_writable)
        bound = bind(settings.receiver_host, settings.receiver_port, shared=lifeline is not None)
        bodies = BodyReader(settings.receiver_body_seconds)
        server = _create_server(settings, publisher, bodies, metrics)

        async def drain_adopted(left: Spool) -> None:
            await SpoolingPublisher(producer, topics, 0.0, left, metrics, utc_now).drain_fully()

        async def drain_spools() -> None:
            await connect(kafka, producer, topics.message_events)
            log.info("receiver_connected")
            report(CONNECTED)
            async with asyncio.TaskGroup() as group:
                group.create_task(publisher.drain())
                group.create_task(adopt(root, folder, settings.spool_max_bytes, drain_adopted))

        async with operations, _one_failure(), asyncio.TaskGroup() as group:
            draining = group.create_task(drain_spools())
            await serve(server, bodies, bound, tls, stop, lambda: report(LISTENING))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FINAL_DRAIN_SECONDS):
                    await _until_empty(spool, draining)
            draining.cancel()


def _create_server(
    settings: ReceiverSettings, publisher: SpoolingPublisher, bodies: BodyReader, metrics: ReceiverMetrics
) -> WebhookServer:
    group_publisher = GroupPublisher(publisher.store, Topics(settings.topic_prefix), metrics, utc_now)
    handler = create_handler(
        group_publisher.publish,
        [secret.get_secret_value() for secret in settings.app_secrets],
        [token.get_secret_value() for token in settings.verify_token],
        metrics,
        bodies,
        certificate_check(settings.receiver_client_name) if settings.receiver_client_ca else None,
    )
    limits = ConnectionLimits(
        connections=settings.receiver_connections,
        header_seconds=settings.receiver_header_seconds,
        keepalive_seconds=settings.receiver_keepalive_seconds,
        read_seconds=settings.receiver_body_seconds,
    )
    return WebhookServer(handler, metrics, limits, access_log=settings.access_log)


def create_handler(
    publish: endpoints.PublishWebhook,
    app_secrets: Sequence[str],
    verify_tokens: Sequence[str],
    metrics: ReceiverMetrics,
    bodies: BodyReader,
    is_allowed: endpoints.ClientCheck | None = None,
) -> endpoints.Handler:
    """Return the receiver as aiohttp's low-level server calls it.

    `is_allowed` decides which clients may use `/webhook`; `None` allows every client.
    """
    responses = Responses(metrics.answers)
    webhook = endpoints.WebhookEndpoint(publish, app_secrets, verify_tokens, bodies, responses, metrics)
    metrics.dropped.prepare(IGNORED_KINDS)
    methods: dict[str, endpoints.Endpoint] = {"POST": webhook.webhook, "GET": webhook.handshake}
    return endpoints.dispatcher(
        {
            "/webhook": {
                method: endpoints.restricted(is_allowed, responses, point) for method, point in methods.items()
            },
            "/live": {"GET": endpoints.live_endpoint(responses)},
        },
        responses,
    )


@contextlib.asynccontextmanager
async def _one_failure() -> AsyncIterator[None]:
    """Raise UnreachableError as itself when it is what ended a task group."""
    try:
        yield
    except ExceptionGroup as group:
        if len(group.exceptions) == 1 and isinstance(group.exceptions[0], UnreachableError):
            raise group.exceptions[0] from None
        raise


def _no_parent(_progress: bytes) -> None:
    """There is nobody to report to."""


async def _until_empty(spool: Spool, draining: asyncio.Task[None]) -> None:
    """Wait until `spool` is empty. Raises the error that ended `draining`, if one did."""
    while not spool.is_empty:
        await asyncio.wait({draining}, timeout=0.05)
        if draining.done():
            draining.result()


def _spool_root(settings: ReceiverSettings) -> Path:
    """Each set of topics has a root of its own: records for one set must not delay another's."""
    return settings.spool_path / f"{settings.topic_prefix}message-events"
