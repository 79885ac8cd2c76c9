"""Latency from a webhook's 200 to the contact's record on `contact-updated`.

Receiver and analyzer run as processes; each request has one message of another customer. The time runs from reading the
response of the POST to a consumer's receipt of the record, both in this process: it includes the broker and the
delivery to the consumer, not the POST.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Mapping

import orjson
import uvloop

from shared.bus.connection import KafkaConnection
from shared.bus.consumer import Consumer, open_consumer
from shared.contract.ids import ConversationKey, Platform
from tests.bench.analyzer_ground import Site, analyzer, site
from tests.bench.envelopes import CUSTOMERS, PAGE, Requests, envelope, write_requests
from tests.bench.figures import Bench
from tests.bench.fixed_rate import send_at
from tests.bench.ground import RECEIVER, SECRET
from tests.bench.judging import Figure, Measured, Side, at_most, percentile
from tests.bench.processes import Handler, running
from tests.bench.wrk import BenchError
from tests.support.servers import free_port

PER_SECOND, SECONDS = 200, 5
WARM_UP_REQUESTS = 2_000
"""Warm-up requests, after which partitions are assigned, connections open and the broker's code compiled."""
ARRIVE_SECONDS = 60


def freshness(bench: Bench) -> Measured:
    of = site(bench.servers, bench.folder, "freshness")
    total = WARM_UP_REQUESTS + bench.rounds * PER_SECOND * SECONDS
    if total > CUSTOMERS:
        raise BenchError(f"there are customers for {(CUSTOMERS - WARM_UP_REQUESTS) // (PER_SECOND * SECONDS)} rounds")
    requests = write_requests(of.folder / "requests", map(envelope, range(total)), SECRET, 1)
    port = free_port()
    settings = of.settings | {
        "LEADSTREAM_APP_SECRETS": SECRET,
        "LEADSTREAM_VERIFY_TOKEN": "bench-token",
        "LEADSTREAM_SPOOL_DIR": str(of.folder / "spool"),
        "LEADSTREAM_RECEIVER_HOST": "127.0.0.1",
        "LEADSTREAM_RECEIVER_PORT": str(port),
    }
    (of.folder / "receiver").mkdir()
    with (
        running(RECEIVER, settings, of.folder / "receiver", port),
        analyzer(of, quiet_seconds="0") as process,
    ):
        rounds = uvloop.run(_measured(of, port, requests, process, bench.rounds))
    note = f"at {PER_SECOND} events/s, {PER_SECOND * SECONDS} a round"
    p50, p99 = (
        Side(f"200 to contact, p{each}, ms", tuple(percentile(of_round, each) for of_round in rounds), note)
        for each in (50, 99)
    )
    figures = (
        Figure("webhook's 200 to contact-updated, p50", p50.median, at_most(60), "ms"),
        Figure("webhook's 200 to contact-updated, p99", p99.median, at_most(250), "ms"),
    )
    return Measured((p50, p99), figures)


async def _measured(of: Site, port: int, requests: Requests, process: Handler, rounds: int) -> list[list[float]]:
    """Return the milliseconds of each contact, by round."""
    async with open_consumer(KafkaConnection(of.servers.kafka), of.topics.contact_updated, None) as consumer:
        arrivals: dict[str, float] = {}
        arriving = asyncio.create_task(_note_arrivals(consumer, arrivals))
        try:
            await _sent(port, requests, 0, WARM_UP_REQUESTS, arrivals, process)
            measured, count = [], PER_SECOND * SECONDS
            for first in range(WARM_UP_REQUESTS, WARM_UP_REQUESTS + rounds * count, count):
                answered = await _sent(port, requests, first, count, arrivals, process)
                measured.append(milliseconds(answered, arrivals))
        finally:
            arriving.cancel()
            await asyncio.wait({arriving})
    return measured


async def _note_arrivals(consumer: Consumer, arrivals: dict[str, float]) -> None:
    """Return when the first version of each contact arrived."""
    while True:
        polled = await consumer.getmany(timeout_ms=1000)
        now = time.perf_counter()
        for batch in polled.values():
            for record in batch:
                arrivals.setdefault(orjson.loads(record.value or b"{}")["contact_id"], now)


async def _sent(
    port: int, requests: Requests, first: int, count: int, arrivals: dict[str, float], process: Handler
) -> dict[str, float]:
    """Return when each request was answered, by contact. BenchError when one is refused or a contact is missing."""
    gc.collect()
    gc.disable()  # a pause of this process is not part of the latency
    try:
        done = await send_at(port, requests, PER_SECOND, count, start=first)
        if done.failed:
            raise BenchError(f"{done.failed} requests were not answered 200")
        answered = {contact_of(number): at for number, at in done.answered_at.items()}
        deadline = time.monotonic() + ARRIVE_SECONDS
        while missing := len(answered.keys() - arrivals.keys()):
            process.require_running()
            if time.monotonic() > deadline:
                raise BenchError(f"{missing} of {count} contacts did not come within {ARRIVE_SECONDS} s")
            await asyncio.sleep(0.05)
    finally:
        gc.enable()
    return answered


def contact_of(number: int) -> str:
    """Return the contact of the request with that number."""
    return str(ConversationKey(Platform.MESSENGER, PAGE, str(8130000000000001 + number % CUSTOMERS)))


def milliseconds(answered: Mapping[str, float], arrivals: Mapping[str, float]) -> list[float]:
    """Return milliseconds, negative if the contact arrived before the response; both are read from one clock."""
    return [(arrivals[contact] - at) * 1000 for contact, at in answered.items()]
