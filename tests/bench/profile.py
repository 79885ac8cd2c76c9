"""Profiles the receiver: processor time an event of each function, including the C code that it calls."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.ground import Ground, handler, rate
from tests.bench.wrk import CONNECTIONS, BenchError, load

SECONDS, SHOWN = 10, 30
WRITE_SECONDS = 10


def profile(ground: Ground, what: str) -> str:
    requests = ground.batches if what == "batches" else ground.singles
    connections = 8 if what == "batches" else CONNECTIONS
    written = ground.folder / "samples.json"
    with handler(ground, "profiled", ("-m", "tests.bench.sampling", str(written), "receiver")) as receiver:
        rate(receiver, requests, 3, connections=connections)  # warm up
        os.kill(receiver.pid, signal.SIGUSR2)
        done = load(receiver.port, requests, SECONDS, connections=connections)
        os.kill(receiver.pid, signal.SIGUSR2)
        found = read_samples(written)
    events = done.requests * requests.events
    title = f"\n{events:,} events, {done.requests_per_second * requests.events:.0f}/s while sampled, of {what}\n"
    return title + listing(found["samples"], found["cpu_seconds"] * 1e6 / events)


def read_samples(written: Path) -> dict[str, Any]:
    """Raise BenchError if the samples are not written in time."""
    deadline = time.monotonic() + WRITE_SECONDS
    while not written.exists():
        if time.monotonic() > deadline:
            raise BenchError("the profiler wrote nothing")
        time.sleep(0.05)
    found: dict[str, Any] = json.loads(written.read_text())
    return found


def listing(samples: Mapping[str, int], microseconds: float) -> str:
    """Divide the `microseconds` of one event by samples, over packages, then over functions, dearest first."""
    total = sum(samples.values())
    if not total:
        raise BenchError("the profiler took no samples")
    packages: Counter[str] = Counter()
    for place, count in samples.items():
        packages[place.partition("/")[0]] += count
    ordered = [*packages.most_common(), ("", 0), *Counter(samples).most_common(SHOWN)]
    lines = [
        f"{microseconds * count / total:7.1f}  {count / total:5.1%}  {name}" if name else "" for name, count in ordered
    ]
    return "\n".join([f"{microseconds:7.1f}  µs of processor time an event, in {total} samples", *lines])
