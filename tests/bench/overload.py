"""Measures what operators do to the receiver: probing it often, and starting it in the middle of an outage."""

from __future__ import annotations

import asyncio
import http.client
import time

import uvloop

from shared.runtime.crypto import webhook_signature
from tests.bench.envelopes import Requests, envelope
from tests.bench.fixed_rate import Latencies, send_at
from tests.bench.ground import RECEIVER, SECRET, Ground, own_settings
from tests.bench.judging import Figure, Measured, Side, at_most
from tests.bench.processes import Handler, started
from tests.bench.wrk import BenchError

PROBES_A_SECOND, WEBHOOKS_A_SECOND = 900, 1_000
MAX_P99_MS, MAX_START_SECONDS = 50.0, 1.5
PROBE = b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENCE_SECONDS = 30.0


def probes(ground: Ground, acked: Handler) -> Measured:
    """Compare webhooks at a fixed rate with and without many readiness probes beside them."""
    path = ground.folder / "probes"
    path.write_bytes(PROBE)
    of_probes = Requests(path, len(PROBE), 1, 1)

    async def webhooks(beside: int) -> Latencies:
        total = round(WEBHOOKS_A_SECOND * ground.seconds)
        sent = send_at(acked.port, ground.singles, WEBHOOKS_A_SECOND, total)
        if not beside:
            return await sent
        probed = send_at(acked.metrics_port, of_probes, beside, round(beside * ground.seconds))
        latencies, answers = await asyncio.gather(sent, probed)
        if answers.failed:
            raise BenchError(f"{answers.failed} probes were not answered 200")
        return latencies

    rounds: dict[int, list[float]] = {0: [], PROBES_A_SECOND: []}
    for _ in range(ground.rounds):
        for beside, of_rounds in rounds.items():
            of_rounds.append(uvloop.run(webhooks(beside)).at(99))
    sides = tuple(
        Side(f"p99 of {WEBHOOKS_A_SECOND:,} webhooks/s, {beside} probes/s, ms", tuple(of_rounds), "")
        for beside, of_rounds in rounds.items()
    )
    return Measured(sides, (Figure("p99 beside 900 probes a second", sides[-1].median, at_most(MAX_P99_MS), "ms"),))


def restart(ground: Ground) -> Measured:
    """Measure the time from the start of a receiver to its first 200 while the broker is down."""
    ground.servers.stop_kafka()
    try:
        times = [_time_to_200(ground, number) for number in range(ground.rounds)]
    finally:
        ground.servers.start_kafka()
    side = Side("start in an outage to the first 200, s", tuple(times), "")
    figure = Figure("first 200 after a start in an outage", side.median, at_most(MAX_START_SECONDS), "s")
    return Measured((side,), (figure,))


def _time_to_200(ground: Ground, number: int) -> float:
    folder = ground.folder / f"restart-{number}"
    folder.mkdir()
    settings, port = own_settings(ground, "restart", folder)
    began = time.monotonic()
    with started(RECEIVER, settings, folder, port) as handler:
        _wait_for_200(handler, envelope(number), began)
        return time.monotonic() - began


def _wait_for_200(handler: Handler, body: bytes, began: float) -> None:
    headers = {"X-Hub-Signature-256": webhook_signature(SECRET, body)}
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", handler.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("POST", "/webhook", body, headers)
            if connection.getresponse().status == 200:
                return
        except OSError:
            handler.require_running()
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise BenchError("a receiver that starts in an outage does not answer") from None
            time.sleep(0.005)
        finally:
            connection.close()
