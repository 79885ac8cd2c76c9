"""The console's composition root."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog
from aiohttp import web

from services.console.accounts.account_checks import AccountChecks
from services.console.accounts.api import AccountApi
from services.console.accounts.pages import IntegrationPages
from services.console.accounts.runs_api import RunApi
from services.console.accounts.service import AccountChanges
from services.console.api.routes import api_routes
from services.console.auth.auth_middleware import AuthMiddleware
from services.console.auth.authentication import Authentication
from services.console.auth.login import Login
from services.console.board.pages import BoardPages
from services.console.contacts.actions import ContactActions
from services.console.contacts.api import ContactApi
from services.console.contacts.pages import ContactPages
from services.console.contacts.service import ContactChanges
from services.console.dead_letters.api import DeadLetterApi
from services.console.dead_letters.pages import DeadLetterPages
from services.console.dead_letters.service import DeadLetterService
from services.console.index.broadcast import Broadcast
from services.console.index.contact_index import ContactIndex
from services.console.index.event_stream import EventStream
from services.console.index.index_updater import IndexUpdater
from services.console.overview.api import OverviewApi
from services.console.overview.pages import OverviewPages
from services.console.overview.system_status import SystemStatus, SystemStatusReader
from services.console.pipelines.api import PipelineApi
from services.console.pipelines.pages import PipelinePages
from services.console.ports import Ports
from services.console.view.rendering import Renderer, environment
from services.console.web import create_app
from shared.bus.connection import kafka_connection
from shared.bus.consumer import open_consumer
from shared.bus.dead_letter_queue import DeadLetterQueue
from shared.bus.dead_letter_replay import Replay
from shared.bus.lag import open_lag_reader
from shared.bus.producer import AIOKafkaProducer, Topics, open_producer
from shared.contract.failures import UnreachableError
from shared.runtime.clock import utc_now
from shared.runtime.crypto import vault_from
from shared.runtime.metrics import Metrics
from shared.runtime.operations import serve_operations
from shared.runtime.service import reduce_garbage_collection, run_until
from shared.runtime.settings import ConsoleSettings
from shared.store.accounts import AccountStore
from shared.store.migrations import require_migrated
from shared.store.mongo import Database, answers, is_storable, open_database
from shared.store.pipelines import PipelineStore
from shared.store.runs import RunStore

ANALYZER_GROUP = "analyzer"
"""The consumer group whose lag the overview shows."""
DRAIN_SECONDS = 5
MAX_REQUEST_LINE_BYTES = 64 * 1024
"""The longest request line: each field of a search may have 200 characters of up to twelve bytes."""

log = structlog.get_logger()


async def run(
    settings: ConsoleSettings, auth: Authentication, ports: Ports, say: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Serve until `stop`; call `say` with the address. UnreachableError when a server is unreachable at the start."""
    topics, kafka = Topics(settings.topic_prefix), kafka_connection(settings)
    async with (
        open_database(settings.mongo_url.get_secret_value()) as database,
        open_producer(kafka) as producer,
        open_consumer(kafka, topics.contact_updated, None) as consumer,
    ):
        contact_index, broadcast, system_status = ContactIndex(), Broadcast(), SystemStatus()
        await require_migrated(database)
        updater = IndexUpdater(database, contact_index, broadcast)
        await consumer.skip_to_end()
        await updater.load()
        reduce_garbage_collection()
        letters = DeadLetterQueue(kafka, topics)
        checks = AccountChecks(database, AccountStore(database), RunStore(database), ports.check, utc_now)
        status_reader = SystemStatusReader(system_status, database, letters, settings.console_receiver_url, utc_now)
        gauge = open_lag_reader(kafka, topics.message_events, f"{topics.prefix}{ANALYZER_GROUP}")
        routes = _routes(
            settings, auth, ports, database, producer, contact_index, broadcast, system_status, letters, checks
        )
        middleware = AuthMiddleware(auth, _renderer(auth))
        app = create_app(middleware, routes)
        works = (
            updater.follow_topic(consumer, stop), updater.follow_runs(stop), updater.compare_periodically(stop),
            status_reader.run(gauge, stop), checks.run(stop), _serve(app, settings, broadcast, say, stop),
        )  # fmt: skip
        port, render = settings.metrics_port, Metrics().render
        async with serve_operations("console", port, render, lambda: answers(database)):
            await run_until(stop, DRAIN_SECONDS, *works)


def _renderer(auth: Authentication) -> Renderer:
    return Renderer(auth.signer, utc_now, environment(utc_now))


def _routes(
    settings: ConsoleSettings, auth: Authentication, ports: Ports, database: Database, producer: AIOKafkaProducer,
    contact_index: ContactIndex, broadcast: Broadcast, system_status: SystemStatus, letters: DeadLetterQueue,
    checks: AccountChecks,
) -> Sequence[web.RouteDef]:  # fmt: skip
    renderer = _renderer(auth)
    changes = ContactChanges(contact_index, database, producer, utc_now, ports.erase)
    accounts, pipelines, runs = AccountStore(database), PipelineStore(database), RunStore(database)
    vault = vault_from(settings) if settings.encryption_keys else None
    account_changes = AccountChanges(accounts, pipelines, checks, vault)
    replay = Replay(letters, producer, Topics(settings.topic_prefix), ports.read_webhook, is_storable)
    dead_letters = DeadLetterService(letters, replay, system_status)
    pages = (
        Login(auth, renderer),
        OverviewPages(contact_index, database, renderer, system_status),
        ContactActions(contact_index, database, renderer, changes),
        ContactPages(contact_index, database, renderer),
        BoardPages(contact_index, database, renderer),
        IntegrationPages(contact_index, database, renderer, checks, account_changes),
        PipelinePages(contact_index, accounts, pipelines, renderer),
        DeadLetterPages(dead_letters, renderer),
        EventStream(broadcast),
    )
    parts = (
        OverviewApi(contact_index, pipelines, system_status),
        ContactApi(contact_index, database, changes),
        AccountApi(contact_index, accounts, account_changes, checks),
        PipelineApi(pipelines),
        RunApi(runs, accounts),
        DeadLetterApi(dead_letters),
    )
    return [*(route for page in pages for route in page.routes()), *api_routes(parts)]


async def _serve(
    app: web.Application, settings: ConsoleSettings, broadcast: Broadcast, say: Callable[[str], None],
    stop: asyncio.Event,
) -> None:  # fmt: skip
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=2, handler_cancellation=True, max_line_size=MAX_REQUEST_LINE_BYTES
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.console_host, settings.console_port)
        try:
            await site.start()
        except OSError as error:
            raise UnreachableError(
                f"the console cannot listen on {settings.console_host}:{settings.console_port}: {error.strerror}"
            ) from None
        port = runner.addresses[0][1]
        say(f"http://{settings.console_host}:{port}")
        log.info("console_started", port=port)
        await stop.wait()
        broadcast.close()
    finally:
        await runner.cleanup()
