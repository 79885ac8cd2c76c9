"""Measures every figure of the receiver, one after another with the same setup."""

from __future__ import annotations

from collections.abc import Callable

from shared.bus.producer import Topics
from tests.bench.compiled import is_installed
from tests.bench.ground import Ground, compared, handler
from tests.bench.judging import Figure, Measured, at_most
from tests.bench.outage import outage
from tests.bench.overload import probes, restart
from tests.bench.processes import Handler
from tests.bench.speed import against_compiled, batches, latency, memory, throughput
from tests.bench.wrk import BenchError

COMPILED = ("-m", "tests.bench.compiled")

Say = Callable[[str], None]


def measure(ground: Ground, requests: int, say: Say) -> Measured:
    """Measure all figures; `requests` single posts are sent for memory. Each receiver has its own topics."""
    with handler(ground, "bare", compared("bare")) as bare:
        measured = _measure_acked(ground, bare, requests, say)
        if is_installed():
            with handler(ground, "ours") as acked, handler(ground, "compiled", COMPILED) as rival:
                measured += _step("a receiver in Go", lambda: against_compiled(ground, rival, acked), say)
        else:
            say("a receiver in Go: left out, as there is no `go`")
        with handler(ground, "probed") as acked:
            measured += _step("probes beside webhooks", lambda: probes(ground, acked), say)
        measured += _step("start in an outage", lambda: restart(ground), say)
        with handler(ground, "thousands") as acked:
            measured += _step("batches", lambda: batches(ground, acked), say)
            measured += _spooled(acked, "batches and single posts")
        with handler(ground, "outage") as receiver:
            topic = Topics("outage.").message_events
            measured += _step("broker down", lambda: outage(ground, bare, receiver, topic), say)
    return measured


def _measure_acked(ground: Ground, bare: Handler, requests: int, say: Say) -> Measured:
    with handler(ground, "acked") as acked:
        with handler(ground, "obvious", compared("obvious")) as obvious:
            measured = _step("throughput", lambda: throughput(ground, bare, obvious, acked), say)
        if measured.problems:
            return measured
        maximum = measured.sides[-1].median
        measured += _step("latency at a fixed rate", lambda: latency(ground, bare, acked, maximum), say)
        measured += _step("memory", lambda: memory(ground, acked, requests), say)
        return measured + _spooled(acked, "single posts")


def _step(name: str, work: Callable[[], Measured], say: Say) -> Measured:
    """Run one step; its failure is a problem in the report, and the other steps still run."""
    say(name)
    try:
        return work()
    except BenchError as error:
        return Measured(problems=(f"{name}: {error}",))


def _spooled(acked: Handler, what: str) -> Measured:
    """Return the figure of events spooled while the broker was up, which must be 0: they were not acknowledged."""
    return Measured(figures=(Figure(f"{what}: events spooled", acked.metric("spooled_total"), at_most(0)),))
