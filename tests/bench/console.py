"""How long the console takes for a page of contacts where there are 100,000.

`python -m tests.bench.console` builds the directory that a console has in memory and asks its application for pages as
a browser does: through the guard, the filters and the template, over a socket. The limit is a median of 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.console.contact_pages import ContactPages
from services.console.directory import Directory, Row, row_of_document
from services.console.entrance import entrance_of
from services.console.guard import Guard
from services.console.rendering import Renderer, environment
from services.console.web import create_app
from shared.contacts import LeadStatus
from shared.mongo import Database
from shared.settings import ConsoleSettings

LIMIT_MS = 50.0
NOW = datetime(2026, 11, 24, tzinfo=UTC)
FIRST = "Maria Juan Ana José Liza Mark Carla Paolo Rosa Miguel Sofia Diego Lucia Andrés Elena Tomas".split()
LAST = "Santos Cruz Reyes Garcia Lopez Ramos Mendoza Torres Flores Rivera Aquino Bautista Peñaflor Castro".split()
WORDS = "asks price sofa delivery table lamp budget visit order invoice blue large urgent friday Cebu Makati".split()
VOCABULARY = WORDS + [f"{word[::-1]}{number}" for number in range(24) for word in WORDS]
"""Of 400 words, a summary has one in eight."""
STAGES = ("New Lead", "Contacted", "Qualified", "Proposal Sent", "Negotiating", "Closed Won")

QUERIES = {
    "first page": "",
    "page 1,000": "page=1000",
    "by name": "sort=name",
    "full name": "q=maria+santos",
    "three filters": "band=hot&status=QUALIFIED&source=ai",
    "words of the summary": "q=sofa+cebu&sort=-inbound",
    "nobody": "q=nobody+at+all",
}


def stored(number: int, chance: random.Random) -> dict[str, Any]:
    """As a contact lies in the database."""
    at = NOW - timedelta(minutes=chance.randrange(500_000))
    return {
        "contact_id": f"messenger:371:{number:016d}", "version": 1, "platform": "messenger", "account_id": "371",
        "customer_id": f"{number:016d}", "name": {"first": chance.choice(FIRST), "last": chance.choice(LAST)},
        "analysis": {
            "lead_score": chance.randint(1, 100), "lead_status": chance.choice(list(LeadStatus)),
            "source": chance.choice(("ai", "ai", "fallback")), "summary": " ".join(chance.choices(VOCABULARY, k=50)),
        },
        "stage": {"pipeline": "Sales", "name": chance.choice(STAGES)}, "emails": [f"c{number}@example.com"],
        "last_inbound_at": at,
    }  # fmt: skip


def filled(contacts: int) -> Directory:
    chance, directory = random.Random(7), Directory()
    for number in range(contacts):
        directory.put(row_of_document(stored(number, chance)))
    return directory


class Nothing:
    """A database without accounts and pipelines: two reads of a millisecond each, which are not what is measured."""

    def __getattr__(self, _name: str) -> Nothing:
        return self

    def find(self, *_query: object, **_options: object) -> Nothing:
        return self

    def sort(self, *_keys: object) -> Nothing:
        return self

    async def to_list(self, _length: object) -> list[object]:
        return []

    def __aiter__(self) -> Nothing:
        return self

    async def __anext__(self) -> object:
        raise StopAsyncIteration


@asynccontextmanager
async def browsing(directory: Directory) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    entrance = entrance_of(ConsoleSettings())
    clock = lambda: NOW  # noqa: E731
    renderer = Renderer(entrance.signer, clock, environment(clock))

    async def is_ready() -> bool:
        return True

    pages = ContactPages(directory, cast(Database, Nothing()), renderer)
    async with TestClient(TestServer(create_app(Guard(entrance, renderer), pages.routes(), is_ready))) as client:
        yield client


async def measure(directory: Directory, times: int) -> dict[str, float]:
    """The median in milliseconds of each query; and of the first page, each time after one contact has changed."""
    found: dict[str, float] = {}
    async with browsing(directory) as client:
        for name, query in QUERIES.items():
            found[name] = await _median(client, query, times)
        changing = [await _after_change(client, directory, number) for number in range(times)]
        found["first page after a change"] = statistics.median(changing)
    return found


async def _after_change(client: TestClient[web.Request, web.Application], directory: Directory, number: int) -> float:
    row = next(iter(directory.rows()))
    fields = {name: getattr(row, name) for name in row.__slots__} | {"version": row.version + 1, "score": number % 100}
    directory.put(Row(**fields))
    return await _milliseconds(client, "")


async def _median(client: TestClient[web.Request, web.Application], query: str, times: int) -> float:
    await _milliseconds(client, query)  # an order is made when it is first asked for
    return statistics.median([await _milliseconds(client, query) for _ in range(times)])


async def _milliseconds(client: TestClient[web.Request, web.Application], query: str) -> float:
    began = time.perf_counter()
    async with client.get(f"/contacts?{query}") as answer:
        await answer.read()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=30)
    arguments = parser.parse_args()
    began = time.perf_counter()
    directory = filled(arguments.contacts)
    print(f"{arguments.contacts:,} rows in {time.perf_counter() - began:.1f} s")
    medians = asyncio.run(measure(directory, arguments.times))
    for name, median in medians.items():
        print(f"{name:<28}{median:7.1f} ms  {median / LIMIT_MS:5.2f} of the limit")
    sys.exit(max(medians.values()) > LIMIT_MS)


if __name__ == "__main__":
    main()
