"""`leadstream receiver`: the receiver's composition root."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Annotated

import typer

from services.receiver.http.body import BodyReader
from services.receiver.http.endpoints import create_handler
from services.receiver.http.server import ConnectionLimits, WebhookServer, bind, bind_for_workers, serve
from services.receiver.http.tls import TlsError, certificate_check, tls_context
from services.receiver.publish.group_publisher import GroupPublisher
from services.receiver.publish.publisher import SpoolingPublisher
from services.receiver.publish.spool import Spool
from services.receiver.publish.spools import adopt, claim_spool, lock_root
from services.receiver.workers import Lifeline, metrics_folder, supervise
from shared.bus.producer import Topics, open_producer, require_topics
from shared.runtime.clock import utc_now
from shared.runtime.metrics import ReceiverMetrics
from shared.runtime.service import reduce_garbage_collection, run_service
from shared.runtime.settings import ReceiverSettings

SPOOL_SECONDS = 1.5
"""What the spool gets at the end to become empty. What it does not manage stays on the disk for the next start."""


def receiver(
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes that share the port.")] = None,
    lifeline: Annotated[int | None, typer.Option(hidden=True, help="A worker's tie to its parent.")] = None,
) -> None:
    """Take signed webhooks and publish what they tell as events."""
    settings = ReceiverSettings()
    if not settings.app_secrets or not settings.verify_token:
        raise typer.BadParameter("LEADSTREAM_APP_SECRETS and LEADSTREAM_VERIFY_TOKEN must be set")
    try:
        tls = tls_context(settings)
    except TlsError as error:
        raise typer.BadParameter(str(error)) from error
    raise typer.Exit(_run(settings, workers or settings.receiver_workers, lifeline, tls))


def _run(settings: ReceiverSettings, workers: int, lifeline: int | None, tls: ssl.SSLContext | None) -> int:
    """As a worker, as the parent of workers, or alone."""
    if lifeline is not None:
        tie = Lifeline(lifeline)
        return run_service(settings, lambda stop: run(settings, tls, tie, stop))
    root = _spool_root(settings)
    with lock_root(root):
        if workers == 1:
            return run_service(settings, lambda stop: run(settings, tls, None, stop))
        with bind_for_workers(settings.receiver_host, settings.receiver_port) as held, metrics_folder(root) as folder:
            return run_service(settings, lambda stop: supervise(workers, held.getsockname()[1], folder, stop))


async def run(
    settings: ReceiverSettings, tls: ssl.SSLContext | None, tie: Lifeline | None, stop: asyncio.Event
) -> None:
    """Serves until `stop`. UnreachableError when broker, topic, spool or port cannot be had at the start."""
    if tie:
        tie.watch()
    reduce_garbage_collection()
    topics, metrics, root = Topics(settings.topic_prefix), ReceiverMetrics(), _spool_root(settings)
    async with (
        claim_spool(root, settings.spool_max_bytes) as (folder, spool),
        open_producer(settings.kafka_bootstrap_servers) as producer,
    ):
        publisher = SpoolingPublisher(producer, topics, settings.publish_timeout_seconds, spool, metrics)
        await require_topics(producer, topics.message_events, topics.dead_letters)
        bound = bind(settings.receiver_host, settings.receiver_port, shared=tie is not None)
        bodies = BodyReader(settings.receiver_body_seconds)
        edge = _edge(settings, publisher, bodies, metrics)
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(publisher.drain())
            adopting = group.create_task(
                adopt(
                    root,
                    folder,
                    settings.spool_max_bytes,
                    lambda left: SpoolingPublisher(producer, topics, 0.0, left, metrics).drain_fully(),
                )
            )
            await serve(edge, bodies, bound, tls, stop, tie.report_listening if tie else lambda: None)
            adopting.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SPOOL_SECONDS):
                    await _until_empty(spool, draining)
            draining.cancel()


def _edge(
    settings: ReceiverSettings, publisher: SpoolingPublisher, bodies: BodyReader, metrics: ReceiverMetrics
) -> WebhookServer:
    intake = GroupPublisher(publisher.make_safe, Topics(settings.topic_prefix), metrics, utc_now)
    handler = create_handler(
        intake.take,
        publisher.is_writable,
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


async def _until_empty(spool: Spool, draining: asyncio.Task[None]) -> None:
    """Raises what ended `draining`, if something did."""
    while not spool.is_empty:
        await asyncio.wait({draining}, timeout=0.05)
        if draining.done():
            draining.result()


def _spool_root(settings: ReceiverSettings) -> Path:
    """One for each set of topics: what was meant for another set must not stand in the way of this one."""
    return Path(settings.spool_dir) / f"{settings.topic_prefix}message-events"
