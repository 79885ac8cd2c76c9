"""The backfill's composition root."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from aiohttp import ClientSession, TCPConnector

from services.backfill.clients import backfill_client, token_of
from services.backfill.crawl.checkpoints import CheckpointStore
from services.backfill.crawl.conversation_reader import PublishEvents
from services.backfill.crawl.crawl import Crawl
from services.backfill.runs.lease_guard import LeaseGuard
from services.backfill.runs.progress import CrawlProgress
from services.backfill.runs.run_executor import RunExecutor
from services.backfill.runs.run_schedule import RunSchedule
from services.backfill.runs.run_worker import CannotBeginError, RunWorker
from shared.bus.connection import kafka_connection
from shared.bus.producer import Topics, event_record, open_producer, publish, require_topics
from shared.contract.encoded_events import EncodedEvent
from shared.contract.failures import WrongKeysError
from shared.domain.accounts import Account
from shared.domain.runs import Run, RunState
from shared.graph_api.shared_governor import governor_for
from shared.runtime.clock import utc_now
from shared.runtime.crypto import TokenVault, vault_from
from shared.runtime.metrics import BackfillMetrics
from shared.runtime.operations import serve_operations
from shared.runtime.service import reduce_garbage_collection
from shared.runtime.settings import BackfillSettings
from shared.store.accounts import AccountStore
from shared.store.migrations import require_migrated
from shared.store.mongo import Database, answers, open_database
from shared.store.runs import ActiveRunError, RunStore

READERS_PER_CALL = 2
"""Conversations in flight for each call that may be in flight."""

Show = Callable[[Sequence[Crawl]], AbstractAsyncContextManager[None]]
"""Shows the progress of the crawls while its block runs."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RunResources:
    """What all runs of one process share."""

    settings: BackfillSettings
    vault: TokenVault
    session: ClientSession
    database: Database
    accounts: AccountStore
    runs: RunStore
    publish: PublishEvents
    metrics: BackfillMetrics


@asynccontextmanager
async def open_resources(settings: BackfillSettings) -> AsyncIterator[RunResources]:
    """Raises UnreachableError when a server or the topic is absent and WrongKeysError when the keys are missing."""
    reduce_garbage_collection()
    vault, metrics = vault_from(settings), BackfillMetrics()
    metrics.runs.prepare(RunState)
    topic = Topics(settings.topic_prefix).message_events
    async with (
        open_database(settings.mongo_url.get_secret_value()) as database,
        open_producer(kafka_connection(settings)) as producer,
        ClientSession(connector=TCPConnector(limit=0)) as session,  # runs limit the calls; none waits for a connection
    ):
        await require_migrated(database)
        await require_topics(producer, topic)

        async def publish_events(events: Sequence[EncodedEvent]) -> None:
            await publish(producer, [event_record(topic, event) for event in events])
            metrics.published.inc(len(events))

        accounts, runs = AccountStore(database), RunStore(database)
        yield RunResources(settings, vault, session, database, accounts, runs, publish_events, metrics)


async def run_accounts(
    resources: RunResources, accounts: Sequence[Account], show: Show, *, is_anew: bool = False
) -> list[Run | str]:
    """Run every account, as many at once as a worker does. Return each ended run, or the reason why there is none.

    SIGTERM and SIGINT cancel the runs; a second signal ends the process at once. WrongKeysError, before any run begins,
    when a token cannot be decrypted. An exception in one run is raised after the others have ended.
    """
    executors = [compose_executor(resources, account) for account in accounts]
    stop, gate = _stop_on_signals(), asyncio.Semaphore(resources.settings.backfill_accounts)
    async with show([executor.crawl for executor in executors]):
        running = [_run_here(executor, gate, stop, is_anew=is_anew) for executor in executors]
        ended = await asyncio.gather(*running, return_exceptions=True)
    return [_outcome(end) for end in ended]


async def _run_here(executor: RunExecutor, gate: asyncio.Semaphore, stop: asyncio.Event, *, is_anew: bool) -> Run | str:
    account = executor.crawl.account
    async with gate:
        if stop.is_set():
            return f"{account.platform} {account.account_id}: not started, because the operator interrupted the command"
        sent_at = executor.lease_guard.now()
        begun = await executor.store.begin(account, is_anew=is_anew)
        executor.lease_guard.extend(sent_at)
        return await executor.execute(begun, stop)


def _outcome(end: Run | str | BaseException) -> Run | str:
    if isinstance(end, ActiveRunError):
        return str(end)
    if isinstance(end, BaseException):
        raise end
    return end


def _stop_on_signals() -> asyncio.Event:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    return stop


async def run_worker(settings: BackfillSettings, stop: asyncio.Event) -> None:
    """Work off queued and due runs until `stop`, then requeue the unfinished ones."""
    async with open_resources(settings) as resources:

        async def executor_for(run: Run) -> RunExecutor:
            account = await resources.accounts.get(run.platform, run.account_id)
            if account is None:
                raise CannotBeginError("the account was removed; `leadstream accounts add` adds it again")
            try:
                return compose_executor(resources, account, requeues_on_stop=True)
            except WrongKeysError as error:
                raise CannotBeginError(str(error)) from None

        schedule = RunSchedule(resources.database, resources.accounts, resources.runs)
        worker = RunWorker(
            resources.runs, schedule, executor_for, settings.backfill_accounts, utc_now, resources.metrics
        )
        render, port = resources.metrics.render, settings.metrics_port
        async with serve_operations("backfill", port, render, lambda: answers(resources.database)):
            log.info("backfill_worker_started")
            await worker.work(stop)
        log.info("backfill_worker_stopped")


def compose_executor(resources: RunResources, account: Account, *, requeues_on_stop: bool = False) -> RunExecutor:
    """Compose one run of the account. WrongKeysError when its token cannot be decrypted."""
    progress, lease_guard, settings = CrawlProgress(), LeaseGuard(), resources.settings

    def throttled(seconds: float) -> None:
        progress.throttled_until = utc_now() + timedelta(seconds=seconds)

    governor = governor_for(resources.database, account, throttled)
    client = backfill_client(settings, resources.session, governor, token_of(resources.vault, account))
    crawl = Crawl(
        account=account,
        client=client,
        checkpoints=CheckpointStore(resources.database, lease_guard.require_lease),
        publish=lease_guard.guard(resources.publish),
        clock=utc_now,
        page_size=settings.backfill_page_size,
        parallelism=settings.backfill_parallelism,
        readers=READERS_PER_CALL * settings.backfill_parallelism,
        progress=progress,
    )
    return RunExecutor(crawl, resources.runs, requeues_on_stop, lease_guard)
