"""The analyzer's composition root."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import structlog

from services.analyzer.analysis.account_fallback import AccountFallback
from services.analyzer.analysis.fallbacks import compose_fallback
from services.analyzer.analysis.providers import open_ai, provider_of
from services.analyzer.analysis.resilient import ResilientAnalyst
from services.analyzer.contact.conversation_loader import ConversationLoader
from services.analyzer.contact.outbox import Outbox
from services.analyzer.contact.pipeline_assignment import PipelineAssignments
from services.analyzer.intake.aggregate import Aggregate
from services.analyzer.intake.event_intake import DeadLetterPublisher, EventIntake
from services.analyzer.profiles.profile_worker import compose_profiles
from services.analyzer.queue.analysis_pool import AnalysisPool
from services.analyzer.queue.analysis_worker import AnalysisWorker
from services.analyzer.queue.claim_queue import ClaimQueue
from shared.bus.connection import kafka_connection
from shared.bus.consumer import open_consumer
from shared.bus.producer import AIOKafkaProducer, Topics, open_producer, require_topics
from shared.runtime.clock import utc_now
from shared.runtime.metrics import AnalyzerMetrics
from shared.runtime.operations import serve_operations
from shared.runtime.service import reduce_garbage_collection, return_large_buffers, run_until
from shared.runtime.settings import AnalyzerSettings
from shared.store.account_models import AccountModelStore
from shared.store.activities import ActivityStore
from shared.store.ai_retry_queue import AIRetryQueue
from shared.store.contacts import Contacts
from shared.store.conversation_updates import Timing
from shared.store.migrations import require_migrated
from shared.store.mongo import ConnectionFailure, Database, answers, open_database
from shared.store.server_clock import ServerClock

CONSUMER_GROUP = "analyzer"
DRAIN_SECONDS = 4

log = structlog.get_logger()


async def run(settings: AnalyzerSettings, stop: asyncio.Event) -> None:
    """Store and analyse events until `stop`. UnreachableError when a server or the topic is missing at the start."""
    topics, metrics = Topics(settings.topic_prefix), AnalyzerMetrics()
    timing, kafka = timing_of(settings), kafka_connection(settings)
    mongo_url = settings.mongo_url.get_secret_value()
    async with open_database(mongo_url) as database, open_analyst(settings, database) as analyst:
        await require_migrated(database)
        owner = f"{socket.gethostname()}:{secrets.token_hex(4)}"
        clock = ServerClock(database)
        queue = ClaimQueue(database, owner, settings.lease_seconds, timing, clock)
        ai_retries = AIRetryQueue(database, round(settings.ai_again_seconds * 1000))
        async with open_producer(kafka) as producer:
            await require_topics(producer, topics.message_events)
            group, instance = f"{topics.prefix}{CONSUMER_GROUP}", settings.analyzer_instance or None
            async with open_consumer(kafka, topics.message_events, group, instance=instance) as consumer:
                dead_letters = DeadLetterPublisher(producer, topics, metrics)
                worker = compose_worker(settings, database, producer, metrics, analyst)
                per_minute = settings.ai_again_per_minute
                pool = AnalysisPool(queue, ai_retries, worker, settings.analysis_parallelism, per_minute, metrics)
                aggregate = Aggregate(database, timing, clock=clock)
                intake = EventIntake(consumer, aggregate, dead_letters, pool, utc_now, metrics)
                reduce_garbage_collection()
                return_large_buffers()
                log.info("analyzer_started", owner=owner)
                tasks = [intake.run(stop), pool.run(stop)]
                if profiles := compose_profiles(settings, database):
                    tasks.append(profiles.run(stop))
                port = settings.metrics_port
                async with serve_operations("analyzer", port, metrics.render, lambda: answers(database)):
                    drained = await run_until(stop, DRAIN_SECONDS, *tasks)
        await _release(queue)  # last: nothing of this process is in flight to the topic
        log.info("analyzer_stopped", drained=drained)


def timing_of(settings: AnalyzerSettings) -> Timing:
    seconds = settings.quiet_seconds, settings.max_wait_seconds, settings.backfill_hold_seconds
    return Timing(*(round(each * 1000) for each in seconds))


def compose_worker(
    settings: AnalyzerSettings,
    database: Database,
    producer: AIOKafkaProducer,
    metrics: AnalyzerMetrics,
    analyst: ResilientAnalyst,
) -> AnalysisWorker:
    contacts, activities = Contacts(database), ActivityStore(database)
    outbox = Outbox(producer, Topics(settings.topic_prefix), contacts, activities, metrics)
    return AnalysisWorker(
        ConversationLoader(database),
        contacts,
        activities,
        outbox,
        PipelineAssignments(database),
        analyst,
        utc_now,
        metrics,
    )


@asynccontextmanager
async def open_analyst(settings: AnalyzerSettings, database: Database) -> AsyncIterator[ResilientAnalyst]:
    """Yield the AI of the settings with a fallback scorer behind it, or the fallback scorer alone."""
    fallback = AccountFallback(compose_fallback(settings.fallback), AccountModelStore(database))
    provider = provider_of(settings)
    async with open_ai(settings, provider) if provider else nullcontext() as ai:
        yield ResilientAnalyst(ai, fallback)


async def _release(queue: ClaimQueue) -> None:
    """A lease that cannot be released expires by itself."""
    try:
        async with asyncio.timeout(1):
            await queue.release_all()
    except (TimeoutError, ConnectionFailure) as error:
        log.warning("leases_left", error=type(error).__name__)
