"""Figures of a service, one after the other: one that fails does not cost the others."""

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
    """`messages` is how many go through where memory is measured."""

    servers: Servers
    folder: Path
    rounds: int
    messages: int


def measure_each(
    service: str, figures: Mapping[str, Callable[[Bench], Measured]], bench: Bench, say: Say, only: str | None = None
) -> Measured:
    """`only` is the name of one."""
    measured = Measured()
    for name, work in figures.items():
        if only in {None, name}:
            say(f"{service}: {name}")
            try:
                measured += work(bench)
            except BenchError as error:
                measured += Measured(problems=(f"{name}: {error}",))
    return measured
