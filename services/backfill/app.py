"""The backfill's composition: runs of several accounts in one process, until they end or a signal ends them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import ClientSession
from aiolimiter import AsyncLimiter
from rich.console import Console

from services.backfill.accounts import AccountStore
from services.backfill.crawl import Crawl, PublishEvents, Tally
from services.backfill.display import showing
from services.backfill.runs import ActiveRunError, RunStore
from shared.accounts import Account
from shared.clock import utc_now
from shared.crypto import TokenVault
from shared.events import Event, dump_event, event_headers
from shared.graph import GraphClient
from shared.ids import Platform
from shared.kafka import Record, Topics, open_producer, publish
from shared.mongo import open_database
from shared.runs import Run
from shared.settings import BackfillSettings, VaultSettings
from shared.throttle import Throttle


class WrongKeysError(Exception):
    """LEADSTREAM_ENCRYPTION_KEYS is empty, malformed, or lacks the key of a stored token."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all runs of one process share."""

    settings: BackfillSettings
    vault: TokenVault
    session: ClientSession
    accounts: AccountStore
    runs: RunStore
    publish: PublishEvents


@asynccontextmanager
async def open_tools(settings: BackfillSettings) -> AsyncIterator[Tools]:
    """UnreachableError when a server does not answer, WrongKeysError when there are none for the tokens."""
    vault = open_vault(settings)
    topic = Topics(settings.topic_prefix).message_events
    async with (
        open_database(settings.mongo_url.get_secret_value()) as database,
        open_producer(settings.kafka_bootstrap_servers) as producer,
        ClientSession() as session,
    ):

        async def publish_events(events: Sequence[Event]) -> None:
            await publish(producer, [_record(topic, event) for event in events])

        yield Tools(settings, vault, session, AccountStore(database), RunStore(database), publish_events)


def open_vault(settings: VaultSettings) -> TokenVault:
    try:
        return TokenVault([key.get_secret_value() for key in settings.encryption_keys])
    except ValueError as error:
        raise WrongKeysError(str(error)) from None


def _record(topic: str, event: Event) -> Record:
    return Record(topic, str(event.conversation).encode(), dump_event(event), event_headers(event))


async def run_accounts(tools: Tools, accounts: Sequence[Account], console: Console) -> list[Run | str]:
    """For each account its run as it ended, or why there is none.

    SIGTERM and SIGINT cancel the runs; a second one ends the process as if nobody listened. WrongKeysError, before
    any run begins, when a token cannot be decrypted. An exception in one run is raised when the others have ended.
    """
    crawls = [_crawl(tools, account) for account in accounts]
    async with showing(console, crawls):
        tasks = [asyncio.create_task(crawl.execute()) for crawl in crawls]
        _cancel_on_signals(tasks)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    return [_outcome(crawl, end) for crawl, end in zip(crawls, ended, strict=True)]


def _outcome(crawl: Crawl, end: Run | BaseException) -> Run | str:
    if isinstance(end, ActiveRunError):
        return str(end)
    if isinstance(end, Exception):
        raise end
    return crawl.run or f"{crawl.account.key}: interrupted before it began"


def _cancel_on_signals(tasks: Sequence[asyncio.Task[Run]]) -> None:
    loop = asyncio.get_running_loop()

    def cancel() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        for task in tasks:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, cancel)


def _crawl(tools: Tools, account: Account) -> Crawl:
    tally, settings = Tally(), tools.settings

    def throttled(seconds: float) -> None:
        tally.throttled_until = utc_now() + timedelta(seconds=seconds)

    client = GraphClient(
        session=tools.session,
        base_url=settings.graph_url,
        version=settings.graph_version,
        token=_token(tools.vault, account),
        throttle=Throttle(throttled),
        app_secret=next((secret.get_secret_value() for secret in settings.app_secrets), None),
        limiter=two_a_second() if account.platform is Platform.INSTAGRAM else None,
        timeout_seconds=settings.graph_timeout_seconds,
        deadline_seconds=settings.graph_deadline_seconds,
    )
    return Crawl(
        account=account,
        client=client,
        store=tools.runs,
        publish=tools.publish,
        clock=utc_now,
        page_size=settings.backfill_page_size,
        parallelism=settings.backfill_parallelism,
        tally=tally,
    )


def _token(vault: TokenVault, account: Account) -> str:
    try:
        return vault.decrypt(account.encrypted_token)
    except ValueError as error:
        raise WrongKeysError(f"{account.key}: {error}") from None


def two_a_second() -> AsyncLimiter:
    """Instagram's limit per account, half a second apart so that no second of theirs can see three.

    Source: https://developers.facebook.com/docs/graph-api/overview/rate-limiting.
    """
    return AsyncLimiter(1, 0.5)
