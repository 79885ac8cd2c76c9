"""The figures of the console: pages among many contacts, changes told to many pages, and what all contacts weigh."""

from __future__ import annotations

import statistics

from tests.bench.backfill_ground import said
from tests.bench.console_process import PAGES_OPEN
from tests.bench.judging import Figure, Measured, Side, at_most
from tests.bench.wrk import BenchError

PAGE_MS, CHANGE_MS = 50, 20
BYTES_EACH = 2500
SHOWN = 5


def measure_console(contacts: int, rounds: int) -> Measured:
    """`rounds` tens of each page."""
    try:
        told = said("tests.bench.console_process", str(contacts), str(rounds * 10), settings={})
    except BenchError as error:
        return Measured(problems=(f"console: {error}",))
    every = f"{contacts:,} contacts"
    sides, figures = list[Side](), list[Figure]()
    for name, values in told["pages"].items():
        sides.append(Side(f"{name}, ms", tuple(sorted(values)[:: len(values) // SHOWN])))
        figures.append(Figure(f"{name} of {every}, median", statistics.median(values), at_most(PAGE_MS), "ms"))
    figures += [
        Figure(f"a change told to {PAGES_OPEN} pages, processor", told["change_ms"], at_most(CHANGE_MS), "ms"),
        Figure(f"memory of {every}", told["megabytes"], at_most(contacts * BYTES_EACH / 1e6), "MB"),
    ]
    return Measured((*sides, Side("read into memory, s", (told["seconds"],))), tuple(figures))
