"""`leadstream receiver`: the receiver's composition root."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import typer

from services.receiver.app import create_app, serve
from services.receiver.publisher import SpoolingPublisher
from services.receiver.spool import Spool, SpoolError, open_spool
from shared.clock import utc_now
from shared.failures import UnreachableError
from shared.kafka import Topics, open_producer
from shared.metrics import ReceiverMetrics
from shared.service import run_service
from shared.settings import ReceiverSettings


def receiver() -> None:
    """Take signed webhooks and publish what they tell as events."""
    settings = ReceiverSettings()
    if not settings.app_secrets or not settings.verify_token.get_secret_value():
        raise typer.BadParameter("LEADSTREAM_APP_SECRETS and LEADSTREAM_VERIFY_TOKEN must be set")
    run_service(settings, lambda stop: run(settings, stop))


async def run(settings: ReceiverSettings, stop: asyncio.Event) -> None:
    """Serves until `stop`. UnreachableError when broker, topic or spool cannot be written at the start."""
    topics, metrics = Topics(settings.topic_prefix), ReceiverMetrics()
    secrets = [secret.get_secret_value() for secret in settings.app_secrets]
    verify_token = settings.verify_token.get_secret_value()
    async with (
        _spool(settings) as spool,
        open_producer(settings.kafka_bootstrap_servers) as producer,
    ):
        publisher = SpoolingPublisher(producer, topics, settings.publish_timeout_seconds, spool, metrics)
        if not await publisher.is_topic_there():
            raise UnreachableError(f"the topic {topics.message_events} is not there; run `leadstream setup`")
        app = create_app(publisher, secrets, verify_token, metrics, utc_now)
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(publisher.drain())
            await serve(app, settings.receiver_host, settings.receiver_port, stop)
            draining.cancel()


@asynccontextmanager
async def _spool(settings: ReceiverSettings) -> AsyncIterator[Spool]:
    """One for each set of topics: what was meant for another set must not stand in the way of this one."""
    folder = Path(settings.spool_dir) / f"{settings.topic_prefix}message-events"
    try:
        async with open_spool(folder, settings.spool_max_bytes) as spool:
            yield spool
    except SpoolError as error:
        raise UnreachableError(str(error)) from error
