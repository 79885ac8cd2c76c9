"""Measures throughput, latency and memory for single posts and batches while the broker is up."""

from __future__ import annotations

from functools import partial

from tests.bench.fixed_rate import Latencies, load_at
from tests.bench.ground import Ground, alternate, rate
from tests.bench.judging import Figure, Measured, Side, at_least, at_most
from tests.bench.processes import Handler
from tests.bench.wrk import BenchError, load

BATCH_CONNECTIONS = 8
"""With this, 8,000 events are in flight; with single posts, only a few."""
STEP, SETTLED = 100_000, 1
"""Memory is read each time after this many requests. Growth counts from the second reading."""
MAX_MEGABYTES, FLAT = 120, 0.05


def throughput(ground: Ground, bare: Handler, obvious: Handler, acked: Handler) -> Measured:
    """Compare the receiver with a handler that only reads the body, and with a straightforward one."""
    handlers = {"bare": bare, "obvious": obvious, "acked": acked}
    run = {name: partial(rate, handler, ground.singles, ground.seconds) for name, handler in handlers.items()}
    of_bare, of_obvious, of_acked = alternate(run, ground.rounds)
    figures = (
        Figure("acked / bare", of_acked.median / of_bare.median, at_least(0.70)),
        Figure("acked / obvious", of_acked.median / of_obvious.median, at_least(1.5)),
    )
    return Measured((of_bare, of_obvious, of_acked), figures)


def against_compiled(ground: Ground, rival: Handler, acked: Handler) -> Measured:
    """Compare the receiver with one in Go that verifies, parses and publishes the same bodies to the same broker."""
    sides = {
        "compiled": partial(rate, rival, ground.singles, ground.seconds),
        "acked": partial(rate, acked, ground.singles, ground.seconds),
    }
    of_rival, of_acked = alternate(sides, ground.rounds)
    return Measured(
        (of_rival, of_acked), (Figure("acked / compiled", of_acked.median / of_rival.median, at_least(0.70)),)
    )


def latency(ground: Ground, bare: Handler, acked: Handler, maximum: float) -> Measured:
    """Compare latencies at half of `maximum` requests a second, each from when the request was due.

    The effects of other work on the machine and of its timers are in the bare handler's figures as well.
    """
    runs: dict[str, list[Latencies]] = {"bare": [], "acked": []}
    for _ in range(ground.rounds):
        for name, handler in (("bare", bare), ("acked", acked)):
            runs[name].append(load_at(handler.port, ground.singles, maximum / 2, ground.seconds))
    failed = sum(run.failed for of_name in runs.values() for run in of_name)
    if failed:
        raise BenchError(f"{failed} requests at half of the maximum were not answered 200")
    note = f"at {maximum / 2:.0f} requests/s"
    sides = tuple(
        Side(f"{name}, p{percent}, ms", tuple(run.at(percent) for run in of_name), note)
        for name, of_name in runs.items()
        for percent in (50, 99)
    )
    return Measured(sides, (Figure("p99 at half of the maximum", sides[-1].median, at_most(25), "ms"),))


def batches(ground: Ground, acked: Handler) -> Measured:
    """Compare a thousand updates in one POST with one in each, in events a second."""
    singles, thousands = alternate(
        {
            "events of single posts": partial(rate, acked, ground.singles, ground.seconds),
            "events of batches of 1000": partial(
                rate, acked, ground.batches, ground.seconds, connections=BATCH_CONNECTIONS
            ),
        },
        ground.rounds,
    )
    figure = Figure("batches of 1000 / single posts", thousands.median / singles.median, at_least(3.3))
    return Measured((singles, thousands), (figure,))


def memory(ground: Ground, acked: Handler, requests: int) -> Measured:
    """Measure resident megabytes after each 100,000 of `requests` single posts. 300,000 show whether it grows."""
    readings = tuple(_readings(ground, acked, requests))
    side = Side(f"resident MB, each {STEP:,}", readings, f"peak {acked.peak_megabytes():.0f}")
    figures = [Figure(f"resident memory after {requests:,} requests", readings[-1], at_most(MAX_MEGABYTES), "MB")]
    if len(readings) > SETTLED + 1:
        growth = (readings[-1] / readings[SETTLED] - 1) * 100
        figures.append(Figure(f"its growth since the first {STEP * (SETTLED + 1):,}", growth, at_most(FLAT * 100), "%"))
    return Measured((side,), tuple(figures))


def _readings(ground: Ground, acked: Handler, requests: int) -> list[float]:
    readings: list[float] = []
    sent, per_second = 0, 0.0
    while sent < requests:
        missing = STEP * (len(readings) + 1) - sent
        done = load(acked.port, ground.singles, missing / per_second if per_second else 1, start=sent)
        if done.failed:
            raise BenchError(f"{done.failed} of {done.requests} requests were not answered 200")
        sent, per_second = sent + done.requests, done.requests_per_second
        if sent >= STEP * (len(readings) + 1):
            readings.append(acked.resident_megabytes())
    return readings
