"""Events a second from the topic to the store: the analyzer's intake against a raw loop with the same writes."""

from __future__ import annotations

import asyncio

from tests.bench.analyzer_events import Traffic
from tests.bench.analyzer_ground import NEVER_DUE, Site, analyzer, rate_of, site, watching
from tests.bench.figures import Bench
from tests.bench.ground import Rate, side
from tests.bench.judging import Figure, Measured, at_least
from tests.bench.processes import Handler, started
from tests.bench.wrk import BenchError

TRAFFIC = Traffic(conversations=2_000, messages=10)


def aggregate(bench: Bench) -> Measured:
    """Measure both sides in turn, each round with its own topic and database. The first pair is a warm-up."""
    ours, raw = list[Rate](), list[Rate]()
    for number in range(bench.rounds + 1):
        of_ours, of_raw = (site(bench.servers, bench.folder, f"{name}{number}") for name in ("aggregate", "raw"))
        events = [asyncio.run(each.publish(TRAFFIC.drafts())) for each in (of_ours, of_raw)]
        with analyzer(of_ours, **NEVER_DUE) as process:
            ours.append(asyncio.run(_taken(of_ours, process, events[0])))
        with started(("-m", "tests.bench.raw_aggregate", of_ours.mongo_url), of_raw.settings, of_raw.folder) as process:
            raw.append(asyncio.run(_taken(of_raw, process, events[1])))
        asyncio.run(_require_same(of_ours, of_raw))
    sides = side("aggregate, events a second", ours[1:]), side("raw loop", raw[1:])
    return Measured(sides, (Figure("aggregate / raw loop", sides[0].median / sides[1].median, at_least(0.6)),))


async def _taken(of: Site, process: Handler, events: int) -> Rate:
    """Return the rate of committed events."""
    async with watching(of) as watch:
        return rate_of(await watch.until(watch.committed, events, process))


async def _require_same(ours: Site, raw: Site) -> None:
    """Raise BenchError if one side has written less than the other, as the rates would not compare."""
    async with ours.database() as ours_written, raw.database() as raw_written:
        for name in ("messages", "conversations"):
            counts = [await each[name].count_documents({}) for each in (ours_written, raw_written)]
            if counts[0] != counts[1] or not counts[0]:
                raise BenchError(f"the intake has written {counts[0]} {name}, the raw loop {counts[1]}")
