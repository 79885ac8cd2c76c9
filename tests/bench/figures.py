"""Measures the figures of a service one by one. A figure that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.judging import Measured
from tests.bench.wrk import BenchError
from tests.support.servers import Servers

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Bench:
    """`messages` is the number of messages for the memory figures."""

    servers: Servers
    folder: Path
    rounds: int
    messages: int


def measure_each(
    service: str, figures: Mapping[str, Callable[[Bench], Measured]], bench: Bench, say: Say, only: str | None = None
) -> Measured:
    """`only` is the name of the one figure to measure."""
    measured = Measured()
    for name, work in figures.items():
        if only in {None, name}:
            say(f"{service}: {name}")
            try:
                measured += work(bench)
            except BenchError as error:
                measured += Measured(problems=(f"{name}: {error}",))
    return measured
