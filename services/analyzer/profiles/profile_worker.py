"""Look up the profiles of contacts without a name, in the background.

Webhooks carry no names. Each contact is looked up once, and the outcome is stored, also a refusal. An instance claims
a contact before it asks, so that only one of several instances does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

import structlog
from aiohttp import ClientSession

from services.analyzer.profiles.nameless_contacts import follow
from services.analyzer.profiles.profile import FIELDS, read_profile, with_profile
from shared.bus.connection import KafkaConnection, kafka_connection
from shared.bus.consumer import open_consumer
from shared.bus.producer import Topics
from shared.contract.contacts import NameSource
from shared.domain.accounts import Account
from shared.graph_api.client import GraphClient, Json, graph_client
from shared.graph_api.errors import ErrorKind, GraphError
from shared.graph_api.shared_governor import governor_for
from shared.runtime.clock import Clock, utc_now
from shared.runtime.crypto import vault_from
from shared.runtime.retry import retry_until_stopped
from shared.runtime.service import stopped_within
from shared.runtime.settings import AnalyzerSettings
from shared.store.accounts import AccountStore
from shared.store.contact_editing import write_and_publish
from shared.store.contacts import Contacts
from shared.store.mongo import ConnectionFailure, Database
from shared.store.profile_queue import ProfileQueue

POLL_SECONDS = 2.0
LOOKUP_BATCH_SIZE = 200
CONSUMER_GROUP = "profiles"
COOL_DOWN_SECONDS = 600.0
"""How long an account gets no calls after one was refused for the whole account."""
CALL_SECONDS, DEADLINE_SECONDS = 10.0, 30.0
NO_PROFILE = frozenset({2018001, 2018218})
"""Subcodes of 100: no such user, and a user without a profile, for example one contacted by phone number.

Sources: https://developers.facebook.com/docs/messenger-platform/error-codes,
https://github.com/chatwoot/chatwoot/pull/6632."""

log = structlog.get_logger()

ClientFor = Callable[[Account], GraphClient]
"""ValueError when the account's token cannot be decrypted."""


def compose_profiles(settings: AnalyzerSettings, database: Database) -> ProfileWorker | None:
    """Return None without encryption keys, as no token of an account can be decrypted."""
    if not settings.encryption_keys:
        return None
    vault = vault_from(settings)

    def clients(session: ClientSession) -> ClientFor:
        return lambda account: graph_client(
            settings,
            session,
            governor_for(database, account, lambda _seconds: None),
            vault.decrypt(account.encrypted_token),
            timeout_seconds=CALL_SECONDS,
            deadline_seconds=DEADLINE_SECONDS,
        )

    queue, topics = ProfileQueue(database), Topics(settings.topic_prefix)
    return ProfileWorker(database, queue, kafka_connection(settings), topics, clients, utc_now)


@dataclass(slots=True)
class ProfileWorker:
    """Serves accounts in parallel and their contacts one by one, so that a throttled account delays only itself."""

    database: Database
    queue: ProfileQueue
    kafka: KafkaConnection
    topics: Topics
    clients: Callable[[ClientSession], ClientFor]
    clock: Clock
    poll_seconds: float = POLL_SECONDS
    _tasks_by_account: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _cooling_down_until: dict[str, float] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        """Look up profiles until `stop`, then end at once; unfinished lookups are claimed again later."""
        group, topic = f"{self.topics.prefix}{CONSUMER_GROUP}", self.topics.contact_updated
        async with (
            open_consumer(self.kafka, topic, group) as consumer,
            ClientSession() as session,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(follow(consumer, self.queue, stop))
            await self._poll(self.clients(session), tasks, stop)
            for task in tuple(self._tasks_by_account.values()):
                task.cancel()

    async def _poll(self, client_for: ClientFor, tasks: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for account, contact_ids in await retry_until_stopped(self._waiting, ConnectionFailure):
                task = tasks.create_task(self._serve(client_for, account, contact_ids))
                self._tasks_by_account[account.key] = task
            await stopped_within(stop, self.poll_seconds)

    async def _waiting(self) -> list[tuple[Account, list[str]]]:
        """Return the waiting contacts of the accounts that can be asked now."""
        known = await AccountStore(self.database).with_token()
        accounts = {account.key: account for account in known if self._is_free(account.key)}
        found = await self.queue.waiting(accounts, LOOKUP_BATCH_SIZE) if accounts else {}
        return [(accounts[key], contact_ids) for key, contact_ids in found.items()]

    def _is_free(self, key: str) -> bool:
        now = asyncio.get_running_loop().time()
        return key not in self._tasks_by_account and self._cooling_down_until.get(key, 0.0) <= now

    async def _serve(self, client_for: ClientFor, account: Account, contact_ids: Iterable[str]) -> None:
        """Look up contacts until the platform refuses the account as a whole, which then cools down."""
        try:
            if refusal := await self._look_up_all(client_for, account, contact_ids):
                self._cool_down(account, refusal)
        except ConnectionFailure as error:
            log.warning("server_away", error=type(error).__name__)
        finally:
            del self._tasks_by_account[account.key]

    async def _look_up_all(self, client_for: ClientFor, account: Account, contact_ids: Iterable[str]) -> str:
        """Return why the account is refused, empty if it is not.

        Only ValueError of `client_for` is a refusal: the text of another may quote a customer.
        """
        try:
            client = client_for(account)
        except ValueError as error:
            return str(error)
        for contact_id in contact_ids:
            if refusal := await self._look_up(client, account, contact_id):
                return str(refusal)
        return ""

    def _cool_down(self, account: Account, reason: str) -> None:
        self._cooling_down_until[account.key] = asyncio.get_running_loop().time() + COOL_DOWN_SECONDS
        log.warning("profiles_refused", account=account.key, reason=reason, again_seconds=COOL_DOWN_SECONDS)

    async def _look_up(self, client: GraphClient, account: Account, contact_id: str) -> GraphError | None:
        """Return the refusal if it concerns the whole account or nobody answered; the contact is then retried later.

        A contact that got a name meanwhile, by a backfill or a person, or was erased, is not looked up.
        """
        if not await self.queue.claim(contact_id):
            return None
        stored = await Contacts(self.database).load(contact_id)
        if stored is None or stored.contact is None or stored.contact.name.source is not NameSource.PLACEHOLDER:
            await self.queue.done(contact_id, "named")
            return None
        customer_id = contact_id.rpartition(":")[2]
        answer = await client.get(quote(customer_id, safe=""), {"fields": FIELDS[account.platform]})
        if isinstance(answer, GraphError) and not _is_of_contact(answer):
            return answer
        outcome = "refused" if isinstance(answer, GraphError) else await self._apply(contact_id, answer)
        await self.queue.done(contact_id, outcome)
        log.info("profile_asked", contact_id=contact_id, outcome=outcome)
        return None

    async def _apply(self, contact_id: str, answer: Json) -> str:
        """Write the profile over the newest version and return the outcome."""
        contacts, profile = Contacts(self.database), read_profile(answer)
        while (stored := await contacts.load(contact_id)) and stored.contact:
            change = with_profile(stored.contact, profile, self.clock())
            if change is None or await write_and_publish(self.database, stored, change):
                return "named" if profile.name else "nameless"
        return "erased"


def _is_of_contact(refusal: GraphError) -> bool:
    """Return whether a refusal concerns this contact only: the customer is gone or has no profile."""
    return refusal.kind is ErrorKind.GONE or refusal.subcode in NO_PROFILE
