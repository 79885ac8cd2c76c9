"""Measures a broker outage: the rate of spooling, refused requests, and the rate of draining the spool afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import orjson

from shared.bus.connection import KafkaConnection
from shared.bus.reader import read_all
from tests.bench.envelopes import Requests
from tests.bench.ground import Ground, Rate, alternate, rate
from tests.bench.judging import Figure, Measured, Side, at_least, at_most
from tests.bench.processes import Handler
from tests.bench.wrk import CONNECTIONS, BenchError, load

SECONDS = 3.0
"""The length of a round: its records drain in well under a minute, and every request has unique ids."""
DRAIN_SECONDS = 120
POLL_SECONDS = 0.1


def outage(ground: Ground, bare: Handler, receiver: Handler, topic: str) -> Measured:
    """`receiver` must not have served a request before. The broker is up again when this returns."""
    down = Outage(ground.singles, receiver)
    ground.servers.stop_kafka()
    try:
        run = {"bare": lambda: rate(bare, ground.singles, SECONDS), "spooled": down.rate}
        of_bare, of_spooled = alternate(run, ground.rounds)
    except BaseException:
        ground.servers.start_kafka()
        raise
    drained = drain(receiver, ground.servers.start_kafka)
    spooled = receiver.metric("spooled_total")
    arrived = asyncio.run(ids_on(ground.servers.kafka, topic))
    lost = max(0, max(spooled, down.answered) - len(arrived))
    figures = (
        Figure("broker down: spooled / bare", of_spooled.median / of_bare.median, at_least(0.25)),
        Figure("broker down: answers other than 200", down.failed, at_most(0)),
        Figure("drain rate / arrival rate", drained.per_second / of_spooled.median, at_least(2.5)),
        Figure("answered 200 or spooled, not on the topic", lost, at_most(0)),
    )
    side = Side("drained, records", (drained.per_second,), f"{spooled:.0f} spooled, {drained.seconds:.1f} s")
    return Measured((of_bare, of_spooled, side), figures)


@dataclass(slots=True)
class Outage:
    """Load while the broker is down. Each request has unique ids over all rounds."""

    requests: Requests
    receiver: Handler
    answered: int = 0
    failed: int = 0
    _next: int = field(default=0)

    def rate(self) -> Rate:
        before = self.receiver.cpu_seconds()
        done = load(self.receiver.port, self.requests, SECONDS, start=self._next)
        self._next += done.requests + 2 * CONNECTIONS  # includes those that wrk sent but gave up on at the end
        if self._next > self.requests.count:
            raise BenchError(f"{self.requests.count} requests are too few for the outage: raise SINGLES")
        self.answered += done.requests - done.failed
        self.failed += done.failed
        spent = self.receiver.cpu_seconds() - before
        return Rate(done.requests_per_second, spent * 1e6 / max(1, done.requests))


@dataclass(frozen=True, slots=True)
class Drain:
    """The drain of the spool, from the first record that left to the last."""

    records: float
    seconds: float

    @property
    def per_second(self) -> float:
        return self.records / self.seconds if self.seconds else 0.0


def drain(receiver: Handler, start_kafka: Callable[[], object]) -> Drain:
    """Start the broker and watch the spool until it is empty, for at most two minutes."""
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(start_kafka)
        return drain_of(list(_depths(receiver, starting)))


def drain_of(depths: list[tuple[float, float]]) -> Drain:
    """Compute the drain from (seconds, records in the spool), starting at the last reading before a record left."""
    falls = [at for at, (earlier, later) in enumerate(pairwise(depths)) if later[1] < earlier[1]]
    if not falls:
        return Drain(0, 0)
    (began, full), (ended, left) = depths[falls[0]], depths[falls[-1] + 1]
    return Drain(full - left, ended - began)


def _depths(receiver: Handler, starting: Future[object]) -> Iterator[tuple[float, float]]:
    deadline = time.monotonic() + DRAIN_SECONDS
    depth = receiver.metric("spool_depth")
    while depth and time.monotonic() < deadline:
        yield time.monotonic(), depth
        time.sleep(POLL_SECONDS)
        depth = receiver.metric("spool_depth")
    yield time.monotonic(), depth
    starting.result()


async def ids_on(kafka: str, topic: str) -> set[str]:
    return {orjson.loads(record.value)["event_id"] for record in await read_all(KafkaConnection(kafka), topic)}
