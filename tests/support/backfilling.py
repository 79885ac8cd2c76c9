"""Backfills of a simulated Facebook: set-up and comparisons for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession

from shared.bus.reader import read_all
from shared.contract.events import Event, MessageEvent, load_event
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.runs import Run
from shared.runtime.crypto import TokenVault
from shared.store.mongo import Database
from tests.conftest import Stack


@dataclass(frozen=True)
class Facebook:
    """A running simulator, as it describes itself, and the accounts that read it."""

    described: dict[str, Any]
    stack: Stack
    database: Database

    @property
    def env(self) -> dict[str, str]:
        secret = self.described["app_secret"]
        return {"LEADSTREAM_GRAPH_URL": self.described["graph_url"], "LEADSTREAM_APP_SECRETS": secret}

    async def call(self, path: str, body: object = None) -> Any:
        async with ClientSession() as session:
            method = "GET" if body is None else "POST"
            url = f"{self.described['graph_url']}/_simulator/{path}"
            async with session.request(method, url, json=body) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

    async def add_pages(self, *account_ids: str, **more: Any) -> list[Account]:
        """Add the simulator's Page once under each id, which distinguishes its events and runs."""
        page = next(each for each in self.described["accounts"] if each["platform"] == "messenger")
        token = TokenVault([self.stack.env["LEADSTREAM_ENCRYPTION_KEYS"]]).encrypt(page["token"])
        given = {"page_id": page["page_id"], "name": page["name"], "encrypted_token": token, **more}
        accounts = [Account(platform=Platform.MESSENGER, account_id=each, **given) for each in account_ids]
        for account in accounts:
            await self.database.accounts.insert_one({"_id": account.key, **account.model_dump(mode="json")})
        return accounts

    async def readable(self) -> set[str]:
        """Return the ids of all messages of the Page, by the simulator."""
        oracle = await self.call("messages")
        return {mid for each in oracle if each["platform"] == "messenger" for mid in each["readable"]}

    async def runs(self) -> list[Run]:
        """Oldest first."""
        return [Run.model_validate(each) async for each in self.database.sync_runs.find({}).sort("created_at", 1)]

    async def runs_of(self, account_id: str) -> list[Run]:
        return [run for run in await self.runs() if run.account_id == account_id]

    async def run_of(self, account_id: str) -> Run:
        """Return the account's only run."""
        (run,) = await self.runs_of(account_id)
        return run

    async def events(self, account_id: str | None = None) -> list[Event]:
        """Return all events on the topic, or those of one account."""
        records = await read_all(self.stack.kafka, self.stack.topics.message_events)
        events = [load_event(record.value) for record in records]
        return [event for event in events if account_id in (None, event.account_id)]


def mids(events: Sequence[Event]) -> set[str]:
    return {event.mid for event in events if isinstance(event, MessageEvent)}


def repeated(events: Sequence[Event]) -> Counter[str]:
    """Count the repeated messages of each conversation."""
    times = Counter((event.customer_id, event.mid) for event in events if isinstance(event, MessageEvent))
    again: Counter[str] = Counter()
    for (customer_id, _), number in times.items():
        again[customer_id] += number - 1
    return +again
