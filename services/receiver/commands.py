"""`leadstream receiver`: the receiver's composition root."""

from __future__ import annotations

import asyncio

import typer

from services.receiver.app import create_app, serve
from services.receiver.metrics import ReceiverMetrics
from services.receiver.publisher import KafkaPublisher
from shared.clock import utc_now
from shared.failures import UnreachableError
from shared.kafka import Topics, open_producer
from shared.service import run_service
from shared.settings import ReceiverSettings


def receiver() -> None:
    """Take signed webhooks and publish what they tell as events."""
    settings = ReceiverSettings()
    if not settings.app_secrets or not settings.verify_token.get_secret_value():
        raise typer.BadParameter("LEADSTREAM_APP_SECRETS and LEADSTREAM_VERIFY_TOKEN must be set")
    run_service(settings, lambda stop: run(settings, stop))


async def run(settings: ReceiverSettings, stop: asyncio.Event) -> None:
    """Serves until `stop`. UnreachableError when the broker or the topic is not there at the start."""
    topics = Topics(settings.topic_prefix)
    secrets = [secret.get_secret_value() for secret in settings.app_secrets]
    async with open_producer(settings.kafka_bootstrap_servers) as producer:
        publisher = KafkaPublisher(producer, topics, settings.publish_timeout_seconds)
        if not await publisher.is_writable():
            raise UnreachableError(f"the topic {topics.message_events} is not there; run `leadstream setup`")
        app = create_app(publisher, secrets, settings.verify_token.get_secret_value(), ReceiverMetrics(), utc_now)
        await serve(app, settings.receiver_host, settings.receiver_port, stop)
