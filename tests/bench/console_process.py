"""Measures the console with many contacts, in a process of its own for its memory, and prints the figures as JSON.

    python -m tests.bench.console_process CONTACTS TIMES

It builds the contact index and requests pages over a socket, through the authentication, the filters and the template.
Streams of changes are read by another process.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import random
import resource
import select
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.console.auth.auth_middleware import AuthMiddleware
from services.console.auth.authentication import authentication_of
from services.console.contacts.pages import ContactPages
from services.console.index.broadcast import Broadcast
from services.console.index.contact_index import ContactIndex, row_of_document
from services.console.index.event_stream import COALESCE_SECONDS, EventStream
from services.console.view.rendering import Renderer, environment
from services.console.web import create_app
from shared.contract.contacts import LeadStatus
from shared.runtime.settings import ConsoleSettings
from shared.store.mongo import Database

PAGES_OPEN, CHANGES = 200, 50
NOW = datetime(2026, 11, 24, tzinfo=UTC)
FIRST = "Maria Juan Ana José Liza Mark Carla Paolo Rosa Miguel Sofia Diego Lucia Andrés Elena Tomas".split()
LAST = "Santos Cruz Reyes Garcia Lopez Ramos Mendoza Torres Flores Rivera Aquino Bautista Peñaflor Castro".split()
WORDS = "asks price sofa delivery table lamp budget visit order invoice blue large urgent friday Cebu Makati".split()
VOCABULARY = WORDS + [f"{word[::-1]}{number}" for number in range(24) for word in WORDS]
"""400 words, of which a summary has 50."""
STAGES = ("New Lead", "Contacted", "Qualified", "Proposal Sent", "Negotiating", "Closed Won")

QUERIES = {
    "first page": "",
    "page 1,000": "page=1000",
    "by name": "sort=name",
    "full name": "q=maria+santos",
    "three filters": "band=hot&status=QUALIFIED&source=ai",
    "two common words": "q=sofa+cebu&sort=-inbound",
    "a letter": "q=a",
    "nobody": "q=nobody+at+all",
}


def stored(number: int, chance: random.Random) -> dict[str, Any]:
    """A contact as it is stored."""
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


def filled(contacts: int) -> ContactIndex:
    chance, contact_index = random.Random(7), ContactIndex()
    for number in range(contacts):
        contact_index.put(row_of_document(stored(number, chance)))
    return contact_index


class EmptyDatabase:
    """A database without accounts and pipelines, whose two reads of a millisecond each are not measured."""

    def __getattr__(self, _name: str) -> EmptyDatabase:
        return self

    def find(self, *_query: object, **_options: object) -> EmptyDatabase:
        return self

    def sort(self, *_keys: object) -> EmptyDatabase:
        return self

    async def to_list(self, _length: object) -> list[object]:
        return []

    def __aiter__(self) -> EmptyDatabase:
        return self

    async def __anext__(self) -> object:
        raise StopAsyncIteration


@asynccontextmanager
async def browsing(contact_index: ContactIndex) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    auth = authentication_of(ConsoleSettings())
    clock = lambda: NOW  # noqa: E731
    renderer = Renderer(auth.signer, clock, environment(clock))

    pages = ContactPages(contact_index, cast(Database, EmptyDatabase()), renderer)
    async with TestClient(TestServer(create_app(AuthMiddleware(auth, renderer), pages.routes()))) as client:
        yield client


async def pages(contact_index: ContactIndex, times: int) -> dict[str, list[float]]:
    """Return the milliseconds of each query, and of the first page after each change of a contact."""
    found: dict[str, list[float]] = {}
    async with browsing(contact_index) as client:
        for name, query in QUERIES.items():
            await _milliseconds(client, query)  # the first request sorts the order
            found[name] = [await _milliseconds(client, query) for _ in range(times)]
        row = next(iter(contact_index.rows()))
        for number in range(times):
            contact_index.put(replace(row, version=row.version + 1 + number, score=number % 100))
            found.setdefault("after a change", []).append(await _milliseconds(client, ""))
    return found


async def _milliseconds(client: TestClient[web.Request, web.Application], query: str) -> float:
    began = time.perf_counter()
    async with client.get(f"/contacts?{query}") as answer:
        await answer.read()
    return (time.perf_counter() - began) * 1000


async def streams() -> float:
    """Return the milliseconds of processor time to send one change to every open page."""
    broadcast, app = Broadcast(), web.Application()
    app.add_routes(EventStream(broadcast).routes())
    async with TestServer(app) as server:
        reader = multiprocessing.get_context("spawn").Process(target=read_streams, args=(server.port,), daemon=True)
        reader.start()
        while broadcast.listeners < PAGES_OPEN:
            await asyncio.sleep(0.05)
        began = time.process_time()
        for number in range(CHANGES):
            broadcast.send("contact", {"id": f"messenger:371:{number:016d}", "version": 2, "score": 50, "stage": "New"})
            await asyncio.sleep(2 * COALESCE_SECONDS)  # each change is sent alone, which costs most
        spent = time.process_time() - began
        reader.kill()
        broadcast.close()
    return spent * 1000 / CHANGES


def read_streams(port: int) -> None:
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(PAGES_OPEN)]
    for each in opened:
        each.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while True:
        time.sleep(0.1)
        for each in select.select(opened, [], [], 0)[0]:
            each.recv(1 << 20)


def _resident_megabytes() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def main() -> None:
    contacts, times = map(int, sys.argv[1:])
    before, began = _resident_megabytes(), time.perf_counter()
    contact_index = filled(contacts)
    seconds, megabytes = time.perf_counter() - began, _resident_megabytes() - before
    measured = asyncio.run(pages(contact_index, times))
    figures = {"seconds": seconds, "megabytes": megabytes, "pages": measured, "change_ms": asyncio.run(streams())}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
