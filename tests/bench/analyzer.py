"""Measures the analyzer's figures one by one, with a real broker and the tests' MongoDB server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.bench.aggregating import aggregate
from tests.bench.analyzer_memory import memory
from tests.bench.backlog import backlog
from tests.bench.decoding import decoding
from tests.bench.figures import Bench, Say, measure_each
from tests.bench.freshness import freshness
from tests.bench.judging import Measured
from tests.bench.pace import pace
from tests.bench.scoring import scoring

FIGURES: Mapping[str, Callable[[Bench], Measured]] = {
    "decode": decoding,
    "aggregate": aggregate,
    "scorer": scoring,
    "latency": freshness,
    "backlog": backlog,
    "pace": pace,
    "memory": memory,
}


def measure_analyzer(bench: Bench, say: Say, only: str | None = None) -> Measured:
    return measure_each("analyzer", FIGURES, bench, say, only)
