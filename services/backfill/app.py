"""The backfill's composition root: what a run of an account is put together from."""

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
from services.backfill.crawl.checkpoints import HistoryStore
from services.backfill.crawl.crawl import Crawl, PublishDrafts
from services.backfill.runs.lease_guard import Fence
from services.backfill.runs.progress import Tally
from services.backfill.runs.run_executor import Runner
from services.backfill.runs.run_schedule import RunSchedule
from services.backfill.runs.run_worker import CannotBeginError, RunWorker
from shared.bus.producer import Topics, event_record, open_producer, publish, require_topics
from shared.contract.encoded_events import EncodedEvent
from shared.contract.failures import WrongKeysError
from shared.domain.accounts import Account
from shared.domain.runs import Run
from shared.graph_api.shared_governor import governor_for
from shared.runtime.clock import utc_now
from shared.runtime.crypto import TokenVault, vault_from
from shared.runtime.health import health_app, serve_health
from shared.runtime.metrics import BackfillMetrics
from shared.runtime.service import reduce_garbage_collection
from shared.runtime.settings import BackfillSettings
from shared.store.accounts import AccountStore
from shared.store.mongo import Database, answers, open_database
from shared.store.runs import ActiveRunError, RunStore

READERS = 2
"""Conversations on their way for each call that may be made at once."""

Show = Callable[[Sequence[Crawl]], AbstractAsyncContextManager[None]]
"""Shows the progress of crawls while its block runs."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tools:
    """What all runs of one process share."""

    settings: BackfillSettings
    vault: TokenVault
    session: ClientSession
    database: Database
    accounts: AccountStore
    runs: RunStore
    publish: PublishDrafts
    metrics: BackfillMetrics


@asynccontextmanager
async def open_tools(settings: BackfillSettings) -> AsyncIterator[Tools]:
    """UnreachableError when a server or the topic is not there, WrongKeysError when there are none for the tokens."""
    reduce_garbage_collection()
    vault, metrics = vault_from(settings), BackfillMetrics()
    topic = Topics(settings.topic_prefix).message_events
    async with (
        open_database(settings.mongo_url.get_secret_value()) as database,
        open_producer(settings.kafka_bootstrap_servers) as producer,
        ClientSession(connector=TCPConnector(limit=0)) as session,  # runs say how many, and no call may be late
    ):
        await require_topics(producer, topic)

        async def publish_drafts(drafts: Sequence[EncodedEvent]) -> None:
            await publish(producer, [event_record(topic, draft) for draft in drafts])
            metrics.published.inc(len(drafts))

        accounts, runs = AccountStore(database), RunStore(database)
        yield Tools(settings, vault, session, database, accounts, runs, publish_drafts, metrics)


async def run_accounts(
    tools: Tools, accounts: Sequence[Account], show: Show, *, is_anew: bool = False
) -> list[Run | str]:
    """For each account its run as it ended, or why there is none. No more at once than a worker does.

    SIGTERM and SIGINT cancel the runs; a second one ends the process as if nobody listened. WrongKeysError, before
    any run begins, when a token cannot be decrypted. An exception in one run is raised when the others have ended.
    """
    runners = [compose(tools, account) for account in accounts]
    stop, gate = _stop_on_signals(), asyncio.Semaphore(tools.settings.backfill_accounts)
    async with show([runner.crawl for runner in runners]):
        running = [_run_here(runner, gate, stop, is_anew=is_anew) for runner in runners]
        ended = await asyncio.gather(*running, return_exceptions=True)
    return [_outcome(end) for end in ended]


async def _run_here(runner: Runner, gate: asyncio.Semaphore, stop: asyncio.Event, *, is_anew: bool) -> Run | str:
    account = runner.crawl.account
    async with gate:
        if stop.is_set():
            return f"{account.platform} {account.account_id}: not begun, as the operator has interrupted this"
        asked_at = runner.fence.now()
        begun = await runner.store.begin(account, is_anew=is_anew)
        runner.fence.extend(asked_at)
        return await runner.execute(begun, stop)


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
    """Does the runs that are queued or due until `stop`, and gives back what it is at."""
    async with open_tools(settings) as tools:

        async def runner_of(run: Run) -> Runner:
            account = await tools.accounts.get(run.platform, run.account_id)
            if account is None:
                raise CannotBeginError("the account was removed; `leadstream accounts add` adds it again")
            try:
                return compose(tools, account, gives_back=True)
            except WrongKeysError as error:
                raise CannotBeginError(str(error)) from None

        schedule = RunSchedule(tools.database, tools.accounts, tools.runs)
        worker = RunWorker(tools.runs, schedule, runner_of, settings.backfill_accounts, utc_now, tools.metrics)
        health = health_app(tools.metrics, lambda: answers(tools.database))
        async with asyncio.TaskGroup() as group:
            group.create_task(serve_health(health, settings.metrics_port, stop))
            log.info("backfill_worker_started")
            await worker.work(stop)
        log.info("backfill_worker_stopped")


def compose(tools: Tools, account: Account, *, gives_back: bool = False) -> Runner:
    """WrongKeysError when the account's token cannot be decrypted."""
    tally, fence, settings = Tally(), Fence(), tools.settings

    def throttled(seconds: float) -> None:
        tally.throttled_until = utc_now() + timedelta(seconds=seconds)

    governor = governor_for(tools.database, account, throttled)
    client = backfill_client(settings, tools.session, governor, token_of(tools.vault, account))
    crawl = Crawl(
        account=account,
        client=client,
        history=HistoryStore(tools.database, fence.require_open),
        publish=fence.guarding(tools.publish),
        clock=utc_now,
        page_size=settings.backfill_page_size,
        parallelism=settings.backfill_parallelism,
        readers=READERS * settings.backfill_parallelism,
        tally=tally,
    )
    return Runner(crawl, tools.runs, gives_back, fence)
