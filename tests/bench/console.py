"""Measures the console: pages with many contacts, changes for many open pages, and memory."""

from __future__ import annotations

import statistics

from tests.bench.backfill_ground import said
from tests.bench.console_process import PAGES_OPEN
from tests.bench.judging import Figure, Measured, Side, at_most
from tests.bench.wrk import BenchError

PAGE_MS, CHANGE_MS = 50, 20
CONTACT_BYTES = 2500
SHOWN_VALUES = 5


def measure_console(contacts: int, rounds: int) -> Measured:
    """Request each page `rounds` times ten."""
    try:
        found = said("tests.bench.console_process", str(contacts), str(rounds * 10), settings={})
    except BenchError as error:
        return Measured(problems=(f"console: {error}",))
    every = f"{contacts:,} contacts"
    sides, figures = list[Side](), list[Figure]()
    for name, values in found["pages"].items():
        sides.append(Side(f"{name}, ms", tuple(sorted(values)[:: len(values) // SHOWN_VALUES])))
        figures.append(Figure(f"{name} of {every}, median", statistics.median(values), at_most(PAGE_MS), "ms"))
    figures += [
        Figure(f"a change sent to {PAGES_OPEN} pages, processor", found["change_ms"], at_most(CHANGE_MS), "ms"),
        Figure(f"memory of {every}", found["megabytes"], at_most(contacts * CONTACT_BYTES / 1e6), "MB"),
    ]
    return Measured((*sides, Side("read into memory, s", (found["seconds"],))), tuple(figures))
