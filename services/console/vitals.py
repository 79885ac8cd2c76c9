"""How the whole system does: read every few seconds, so that no page waits for it."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout

from services.console.following import ends
from shared.clock import Clock
from shared.kafka import KafkaError
from shared.kafka_gauge import Gauge
from shared.letters import Letters, Summary
from shared.mongo import ConnectionFailure, Database

SAMPLE_SECONDS = 5.0
LETTERS_EVERY = 6
"""Samples: the whole topic is read for it."""
KEPT = 120
_SPOOL = re.compile(rb"^leadstream_receiver_spool_depth(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sample:
    """`put` is how many records were ever put on `message-events`."""

    at: datetime
    put: int
    lag: int


@dataclass(slots=True)
class Vitals:
    """None is what could not be read. `spool` is None as well where nobody said where the receiver is."""

    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=KEPT))
    letters: tuple[Summary, ...] | None = None
    due: int | None = None
    spool: int | None = None
    broker_answers: bool = True

    @property
    def lag(self) -> int | None:
        return self.samples[-1].lag if self.samples and self.broker_answers else None

    def rates(self) -> list[float]:
        """Events a second between the samples, oldest first."""
        pairs = zip(self.samples, list(self.samples)[1:], strict=False)
        return [max(b.put - a.put, 0) / max((b.at - a.at).total_seconds(), 0.1) for a, b in pairs]


class Reader:
    def __init__(self, vitals: Vitals, database: Database, letters: Letters, receiver_url: str, clock: Clock) -> None:
        self._vitals = vitals
        self._database = database
        self._letters = letters
        self._receiver_url = receiver_url
        self._clock = clock

    async def run(self, gauge: AbstractAsyncContextManager[Gauge], stop: asyncio.Event) -> None:
        async with gauge as opened, ClientSession(timeout=ClientTimeout(total=3)) as session:
            number = 0
            while True:
                await self._read(opened, session, with_letters=number % LETTERS_EVERY == 0)
                number += 1
                if await ends(stop, SAMPLE_SECONDS):
                    return

    async def _read(self, gauge: Gauge, session: ClientSession, *, with_letters: bool) -> None:
        vitals = self._vitals
        try:
            async with asyncio.timeout(SAMPLE_SECONDS * 2):
                vitals.due = await self._database.conversations.count_documents({"due_at": {"$lte": self._clock()}})
                vitals.spool = await self._spool(session)
                put, lag = await gauge.read()
                vitals.samples.append(Sample(self._clock(), put, lag))
                if with_letters:
                    vitals.letters = tuple((await self._letters.parked()).values())
                vitals.broker_answers = True
        except (TimeoutError, KafkaError, ConnectionFailure) as error:
            vitals.broker_answers = isinstance(error, ConnectionFailure)
            log.warning("vitals_not_read", error=type(error).__name__)

    async def _spool(self, session: ClientSession) -> int | None:
        if not self._receiver_url:
            return None
        try:
            async with session.get(f"{self._receiver_url.rstrip('/')}/metrics") as answer:
                return round(sum(float(each) for each in _SPOOL.findall(await answer.read())))
        except (ClientError, TimeoutError):
            return None


def sparkline(values: list[float], width: int = 120, height: int = 28) -> str:
    """Points of a polyline."""
    if len(values) < 2:
        return ""
    top = max(*values, 0.001)
    step = width / (len(values) - 1)
    return " ".join(f"{step * i:.1f},{height - 2 - (height - 4) * value / top:.1f}" for i, value in enumerate(values))
