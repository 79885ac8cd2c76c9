"""The analyzer's memory while it reads a topic of waiting messages."""

from __future__ import annotations

import asyncio
import statistics
import time

from tests.bench.analyzer_events import Traffic
from tests.bench.analyzer_ground import STALL_SECONDS, Site, analyzer, is_empty, site, watching
from tests.bench.figures import Bench
from tests.bench.judging import Figure, Measured, Side, at_most
from tests.bench.processes import Handler
from tests.bench.wrk import BenchError

MESSAGES_PER_CONVERSATION = 10
QUIET_SECONDS = "5"
"""Longer than the pauses within a conversation, so that each is analysed about once, as a whole."""
READ_SECONDS = 1.0
MAX_MEGABYTES, FLAT_PERCENT = 250, 5


def memory(bench: Bench) -> Measured:
    """Measure the peak, and the growth after three tenths of the time, with ten messages a conversation."""
    traffic = Traffic(bench.messages // MESSAGES_PER_CONVERSATION, MESSAGES_PER_CONVERSATION)
    of = site(bench.servers, bench.folder, "memory")
    events = asyncio.run(of.publish(traffic.drafts()))
    with analyzer(of, quiet_seconds=QUIET_SECONDS) as process:
        began = time.perf_counter()
        readings = asyncio.run(_gone_through(of, process, events, traffic.conversations))
        seconds, peak = time.perf_counter() - began, process.peak_megabytes()
    through = f"{traffic.conversations * MESSAGES_PER_CONVERSATION:,} messages"
    figures = [Figure(f"peak of memory over {through}", peak, at_most(MAX_MEGABYTES), "MB")]
    tenth = len(readings) // 10
    if tenth:
        growth = growth_percent(readings)
        figures.append(Figure("its growth after the first 30 %", growth, at_most(FLAT_PERCENT), "%"))
    shown = tuple(readings[:: max(1, tenth)])
    side = Side("resident MB, each tenth", shown, f"{events / seconds:.0f} events a second")
    return Measured((side,), tuple(figures))


def growth_percent(readings: list[float]) -> float:
    """Return the growth from the fourth tenth to the last, by their medians. Pure."""
    tenth = len(readings) // 10
    settled, last = readings[3 * tenth : 4 * tenth], readings[-tenth:]
    return (statistics.median(last) / statistics.median(settled) - 1) * 100


async def _gone_through(of: Site, process: Handler, events: int, conversations: int) -> list[float]:
    """Return resident megabytes of each second until all events are committed and all conversations analysed."""
    readings: list[float] = []
    before, moved_at = (0, 0), time.monotonic()
    async with of.database() as database, watching(of) as watch:
        while True:
            process.require_running()
            readings.append(process.resident_megabytes())
            progress = await watch.committed(), await watch.published()
            if progress[0] >= events and await is_empty(database):
                break
            if progress != before:
                before, moved_at = progress, time.monotonic()
            if time.monotonic() - moved_at > STALL_SECONDS:
                raise BenchError(
                    f"of {events:,} events {progress[0]:,} were read, and {progress[1]:,} contacts published"
                )
            await asyncio.sleep(READ_SECONDS)
        contacts = await database.contacts.count_documents({})
        if contacts != conversations:
            raise BenchError(f"there are {contacts} contacts of {conversations} conversations")
    return readings
