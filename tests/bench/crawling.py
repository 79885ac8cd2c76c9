"""One run of the backfill in a process of its own, as `backfill run` makes it; prints what it came to as JSON."""

from __future__ import annotations

import asyncio
import io
import re
import time
from functools import partial
from pathlib import Path

import orjson
import uvloop
from rich.console import Console

from services.backfill.app import open_resources, run_accounts
from services.cli.backfill_display import showing
from shared.domain.runs import Run
from shared.runtime.logging import configure_logging
from shared.runtime.settings import BackfillSettings

READ_SECONDS = 1.0


async def crawl(settings: BackfillSettings) -> dict[str, object]:
    configure_logging(settings.log_level, as_json=settings.log_json)
    readings: list[float] = []
    async with open_resources(settings) as resources:
        accounts = await resources.accounts.all()
        reader = asyncio.create_task(_read_memory(readings))
        began, cpu = time.perf_counter(), time.process_time()
        (run,) = await run_accounts(resources, accounts, partial(showing, Console(file=io.StringIO())))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        reader.cancel()
    if not isinstance(run, Run):
        raise SystemExit(run)
    counters = run.counters.model_dump(mode="json")
    result = {"state": run.state, "reason": run.reason, "seconds": seconds, "cpu": cpu, "counters": counters}
    return {**result, "resident": readings, "peak": _megabytes("VmHWM")}


async def _read_memory(readings: list[float]) -> None:
    while True:
        readings.append(_megabytes("VmRSS"))
        await asyncio.sleep(READ_SECONDS)


def _megabytes(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, "Linux tells it"
    return int(found[1]) * 1024 / 1e6


if __name__ == "__main__":
    print(orjson.dumps(uvloop.run(crawl(BackfillSettings()))).decode())
