"""The analyzer's composition root."""

from __future__ import annotations

import asyncio
import secrets
import socket

import structlog

from services.analyzer.again import Again
from services.analyzer.aggregate import Aggregate
from services.analyzer.analyst import Analyst
from services.analyzer.fallback import FallbackScorer
from services.analyzer.gemini_analyst import GeminiAnalyst
from services.analyzer.gemini_schedule import Schedule
from services.analyzer.history import Histories
from services.analyzer.intake import Intake, Parking
from services.analyzer.marks import Timing
from services.analyzer.outbox import Outbox
from services.analyzer.placement import Placements
from services.analyzer.pool import Pool
from services.analyzer.profiles import compose_profiles
from services.analyzer.queue import Queue
from services.analyzer.resilient import ResilientAnalyst
from services.analyzer.server_clock import ServerClock
from services.analyzer.worker import Worker
from shared.clock import utc_now
from shared.contact_store import Contacts
from shared.health import health_app, serve_health
from shared.kafka import AIOKafkaProducer, Topics, open_producer, require_topics
from shared.kafka_groups import open_consumer
from shared.metrics import AnalyzerMetrics
from shared.mongo import ConnectionFailure, Database, answers, open_database
from shared.service import collect_seldom, return_large_buffers, run_until
from shared.settings import AnalyzerSettings

GROUP = "analyzer"
DRAIN_SECONDS = 4

log = structlog.get_logger()


async def run(settings: AnalyzerSettings, stop: asyncio.Event) -> None:
    """Aggregates and analyses until `stop`. UnreachableError when a server or the topic is not there at the start."""
    topics, metrics = Topics(settings.topic_prefix), AnalyzerMetrics()
    timing, kafka = timing_of(settings), settings.kafka_bootstrap_servers
    async with open_database(settings.mongo_url.get_secret_value()) as database:
        owner = f"{socket.gethostname()}:{secrets.token_hex(4)}"
        clock = ServerClock(database)
        queue = Queue(database, owner, settings.lease_seconds, timing, clock)
        again = Again(database, round(settings.ai_again_seconds * 1000))
        async with open_producer(kafka) as producer:
            await require_topics(producer, topics.message_events)
            group, instance = f"{topics.prefix}{GROUP}", settings.analyzer_instance or None
            async with open_consumer(kafka, topics.message_events, group, instance=instance) as consumer:
                parking = Parking(producer, topics, metrics)
                worker = compose_worker(settings, database, producer, metrics)
                per_minute = settings.ai_again_per_minute
                pool = Pool(queue, again, worker, settings.analysis_parallelism, per_minute, metrics)
                aggregate = Aggregate(database, timing, clock=clock)
                intake = Intake(consumer, aggregate, parking, pool, utc_now, metrics)
                health = health_app(metrics, lambda: answers(database))
                collect_seldom()
                return_large_buffers()
                log.info("analyzer_started", owner=owner)
                works = [intake.run(stop), pool.run(stop), serve_health(health, settings.metrics_port, stop)]
                if profiles := compose_profiles(settings, database):
                    works.append(profiles.run(stop))
                drained = await run_until(stop, DRAIN_SECONDS, *works)
        await _release(queue)  # only now: nothing of this process is on its way to the topic any more
        log.info("analyzer_stopped", drained=drained)


def timing_of(settings: AnalyzerSettings) -> Timing:
    seconds = settings.quiet_seconds, settings.max_wait_seconds, settings.backfill_hold_seconds
    return Timing(*(round(each * 1000) for each in seconds))


def compose_worker(
    settings: AnalyzerSettings, database: Database, producer: AIOKafkaProducer, metrics: AnalyzerMetrics
) -> Worker:
    contacts = Contacts(database.contacts)
    outbox = Outbox(producer, Topics(settings.topic_prefix), contacts, database.activities, metrics)
    analyst = compose_analyst(settings)
    return Worker(Histories(database), contacts, outbox, Placements(database), analyst, utc_now, metrics)


def compose_analyst(settings: AnalyzerSettings) -> Analyst:
    """Gemini where there are keys, with the fallback scorer behind it; else the fallback scorer alone."""
    fallback = FallbackScorer()
    keys = [key.get_secret_value() for key in settings.gemini_api_keys]
    if not keys:
        return fallback
    # Google's client takes half a second and 50 MB: only who has keys pays for it, not every command.
    from services.analyzer.gemini import Gemini  # noqa: PLC0415

    gemini, per_minute = Gemini(settings.gemini_endpoint), settings.gemini_requests_per_minute
    schedule = Schedule(gemini, keys, settings.gemini_models, per_minute)
    return ResilientAnalyst(GeminiAnalyst(schedule, settings.gemini_deadline_seconds), fallback)


async def _release(queue: Queue) -> None:
    """A lease that cannot be given back runs out by itself."""
    try:
        async with asyncio.timeout(1):
            await queue.release_all()
    except (TimeoutError, ConnectionFailure) as error:
        log.warning("leases_left", error=type(error).__name__)
