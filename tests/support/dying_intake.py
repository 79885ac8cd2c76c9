"""`python -m tests.support.dying_intake STEP N`: the analyzer's intake alone, that kills itself at a step.

It dies by SIGKILL at its N-th passing of STEP, and says so as its last words; with N 0 it lives. Its batches are small,
so that a kill falls between two of them. LEADSTREAM_TEST_INSTANCE makes its membership in the group static. Nothing
else is different from the intake in `leadstream analyzer`.
"""

from __future__ import annotations

import asyncio
import os
import sys

import structlog

from services.analyzer.app import CONSUMER_GROUP, timing_of
from services.analyzer.intake import event_intake as intake
from services.analyzer.intake.aggregate import Aggregate
from services.analyzer.intake.event_intake import DeadLetterPublisher, EventIntake
from shared.bus.connection import kafka_connection
from shared.bus.consumer import Consumer, open_consumer
from shared.bus.producer import Topics, open_producer
from shared.runtime.clock import utc_now
from shared.runtime.metrics import AnalyzerMetrics
from shared.runtime.service import run_service, run_until
from shared.runtime.settings import AnalyzerSettings
from shared.store.messages import MessageStore
from shared.store.mongo import open_database
from tests.support.dying_receiver import Step, arm, die_at
from tests.support.idle_pool import IdlePool

STEPS = {
    "polled": Step(EventIntake, "_settle"),
    "messages_written": Step(MessageStore, "merge", is_after=True),
    "written": Step(Aggregate, "apply", is_after=True),
    "parked": Step(DeadLetterPublisher, "publish", is_after=True),
    "committing": Step(Consumer, "commit"),
    "committed": Step(Consumer, "commit", is_after=True),
}

BATCH_RECORDS = 20
DRAIN_SECONDS = 4

log = structlog.get_logger()


async def run(settings: AnalyzerSettings, stop: asyncio.Event) -> None:
    topics, metrics, kafka = Topics(settings.topic_prefix), AnalyzerMetrics(), kafka_connection(settings)
    instance = os.environ.get("LEADSTREAM_TEST_INSTANCE")
    async with (
        open_database(settings.mongo_url.get_secret_value()) as database,
        open_producer(kafka) as producer,
        open_consumer(kafka, topics.message_events, f"{topics.prefix}{CONSUMER_GROUP}", instance=instance) as consumer,
    ):
        aggregate, parking = Aggregate(database, timing_of(settings)), DeadLetterPublisher(producer, topics, metrics)
        log.info("intake_started")
        await run_until(
            stop, DRAIN_SECONDS, EventIntake(consumer, aggregate, parking, IdlePool(), utc_now, metrics).run(stop)
        )
    log.info("intake_stopped")


def main() -> None:
    name, passing = sys.argv[1:]
    assert intake.BATCH_RECORDS > BATCH_RECORDS
    intake.BATCH_RECORDS = BATCH_RECORDS
    arm(STEPS[name], die_at(name, int(passing)))
    settings = AnalyzerSettings()
    run_service(settings, lambda stop: run(settings, stop))


if __name__ == "__main__":
    main()
