"""A profile of the analyzer per event or contact: the time of each function and the C code it calls."""

from __future__ import annotations

import asyncio
import os
import signal

from tests.bench.analyzer_events import Traffic
from tests.bench.analyzer_ground import NEVER_DUE, Site, analyzer, site, watching
from tests.bench.backlog import prepare
from tests.bench.figures import Bench
from tests.bench.processes import Handler
from tests.bench.profile import listing, read_samples

EVENTS = Traffic(conversations=4_000, messages=8)
CONTACTS = Traffic(conversations=3_000, messages=4)
PROFILES = ("aggregate", "backlog")


def profile_analyzer(bench: Bench, what: str) -> str:
    """Sample from the first event or contact to the last."""
    of = site(bench.servers, bench.folder, "profile")
    if what == "aggregate":
        total, settings = asyncio.run(of.publish(EVENTS.drafts())), NEVER_DUE
    else:
        asyncio.run(prepare(of, CONTACTS))
        total, settings = CONTACTS.conversations, {"quiet_seconds": "0"}
    written = of.folder / "samples.json"
    command = ("-m", "tests.bench.sampling", str(written), "analyzer")
    with analyzer(of, command, **settings) as process:
        counted = asyncio.run(_sample(of, process, what, total))
        found = read_samples(written)
    title = f"\n{counted:,} of {total:,} while sampled, of {what}\n"
    return title + listing(found["samples"], found["cpu_seconds"] * 1e6 / counted)


async def _sample(of: Site, process: Handler, what: str, total: int) -> int:
    async with watching(of) as watch:
        read = watch.committed if what == "aggregate" else watch.published
        before = (await watch.until(read, 1, process))[-1].done
        os.kill(process.pid, signal.SIGUSR2)
        await watch.until(read, total, process)
        os.kill(process.pid, signal.SIGUSR2)
    return max(1, total - before)
