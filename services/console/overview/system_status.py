"""The state of the system, read every few seconds, so that no page waits for it."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout

from shared.bus.dead_letter_queue import DeadLetterQueue, DeadLetterSummary
from shared.bus.lag import LagReader
from shared.bus.producer import KafkaError
from shared.contract.failures import UnreachableError
from shared.runtime.clock import Clock
from shared.runtime.service import stopped_within
from shared.store.conversations import Conversations
from shared.store.mongo import Database, PyMongoError

SAMPLE_SECONDS = 5.0
READ_SECONDS = 10.0
DEAD_LETTERS_SECONDS = 30.0
DEAD_LETTERS_READ_SECONDS = 120.0
"""Reading dead letters reads the whole topic; it is done only when the topic has grown."""
MAX_SAMPLES = 120
_SPOOL = re.compile(rb"^leadstream_receiver_spool_depth(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)
_UNREADABLE = (TimeoutError, KafkaError, UnreachableError, PyMongoError, ClientError)
Value = TypeVar("Value")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ThroughputSample:
    """`produced` is the number of records ever written to `message-events`."""

    at: datetime
    produced: int
    lag: int


@dataclass(slots=True)
class SystemStatus:
    """None means that the last attempt to read a value failed."""

    samples: deque[ThroughputSample] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))
    dead_letters: tuple[DeadLetterSummary, ...] | None = None
    due: int | None = None
    spool: int | None = None
    asks_receiver: bool = False
    broker_answers: bool = True

    @property
    def lag(self) -> int | None:
        return self.samples[-1].lag if self.samples and self.broker_answers else None

    def rates(self) -> list[float]:
        """Return the events per second between samples, oldest first; empty while the broker does not answer."""
        pairs = zip(self.samples, list(self.samples)[1:], strict=False) if self.broker_answers else ()
        return [max(b.produced - a.produced, 0) / max((b.at - a.at).total_seconds(), 0.1) for a, b in pairs]


class SystemStatusReader:
    """Keeps a `SystemStatus` up to date. A value that cannot be read does not stop the others."""

    def __init__(
        self, status: SystemStatus, database: Database, dead_letters: DeadLetterQueue, receiver_url: str, clock: Clock
    ) -> None:
        self._status = status
        self._database = database
        self._dead_letters = dead_letters
        self._receiver_url = receiver_url.rstrip("/")
        self._clock = clock
        self._dead_letters_end: int | None = None
        status.asks_receiver = bool(receiver_url)

    async def run(self, gauge: AbstractAsyncContextManager[LagReader], stop: asyncio.Event) -> None:
        async with (
            gauge as opened,
            ClientSession(timeout=ClientTimeout(total=3)) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(_repeat(lambda: self.read(opened, session), SAMPLE_SECONDS, stop))
            group.create_task(_repeat(lambda: self.read_dead_letters(opened), DEAD_LETTERS_SECONDS, stop))

    async def read(self, gauge: LagReader, session: ClientSession) -> None:
        status, due = self._status, Conversations(self._database).count_due(self._clock())
        status.due, status.spool, read = await asyncio.gather(
            _read_or_none("due", due), _read_or_none("spool", self._spool(session)), _read_or_none("lag", gauge.read())
        )
        status.broker_answers = read is not None
        if read:
            status.samples.append(ThroughputSample(self._clock(), *read))

    async def read_dead_letters(self, gauge: LagReader) -> None:
        end = await _read_or_none("dead_letters", gauge.end_of(self._dead_letters.topic))
        if end is None or end != self._dead_letters_end or self._status.dead_letters is None:
            self._status.dead_letters = None if end is None else await self._parked()
            self._dead_letters_end = end

    async def _parked(self) -> tuple[DeadLetterSummary, ...] | None:
        parked = await _read_or_none("dead_letters", self._dead_letters.parked(), DEAD_LETTERS_READ_SECONDS)
        return None if parked is None else tuple(parked.values())

    async def _spool(self, session: ClientSession) -> int | None:
        if not self._status.asks_receiver:
            return None
        async with session.get(f"{self._receiver_url}/metrics") as answer:
            depths = _SPOOL.findall(await answer.read()) if answer.ok else []
        return round(sum(map(float, depths))) if depths else None


async def _repeat(read: Callable[[], Awaitable[None]], seconds: float, stop: asyncio.Event) -> None:
    while True:
        await read()
        if await stopped_within(stop, seconds):
            return


async def _read_or_none(what: str, reading: Awaitable[Value], seconds: float = READ_SECONDS) -> Value | None:
    try:
        async with asyncio.timeout(seconds):
            return await reading
    except _UNREADABLE as error:
        log.warning("status_not_read", what=what, error=type(error).__name__)
        return None


def sparkline(values: list[float], width: int = 120, height: int = 28) -> str:
    """Return the points of an SVG polyline; empty for fewer than two values."""
    if len(values) < 2:
        return ""
    top = max(*values, 0.001)
    step = width / (len(values) - 1)
    return " ".join(f"{step * i:.1f},{height - 2 - (height - 4) * value / top:.1f}" for i, value in enumerate(values))
